"""SlidingWindowsLayer, the base class of layers that slide a window over maps: how their geometry is given.

Source followed: BVLC Caffe's base_conv_layer.cpp and im2col_layer.cpp.
"""

from collections.abc import Sequence
from math import prod

import torch

from torchcaffe.layer_types.base import Blob, Layer
from torchcaffe.layer_types.columns import Windows


class SlidingWindowsLayer(Layer):
    """The axes of a bottom are images (any number), channels (one, `axis`) and the maps' own (any number)."""

    def read_geometry(self, bottom: Blob) -> None:
        """Reads kernel, stride, pad and dilation, a size for each axis of the maps. Raises Fatal."""
        param = self.param.convolution_param
        self._channel_axis = self.axis(param.axis, bottom)
        self._spatial = len(bottom.shape) - self._channel_axis - 1
        self._kernel = self._sizes("kernel_size", param.kernel_size, ("kernel_h", "kernel_w"), 0)
        self._stride = self._sizes("stride", param.stride, ("stride_h", "stride_w"), 1)
        self._pad = self._sizes("pad", param.pad, ("pad_h", "pad_w"), 0)
        self._dilation = self._sizes("dilation", param.dilation, (), 1)
        self.check(min(self._kernel, default=1) > 0, "Filter dimensions must be nonzero: give kernel_size")
        self.check(min(self._stride, default=1) > 0, "Stride dimensions must be nonzero")
        if self._spatial:
            self.check_sizes(self._kernel + self._stride + self._pad + self._dilation)

    def _sizes(self, name: str, given: Sequence[int], pair: tuple[str, ...], default: int) -> list[int]:
        """A size for each axis of the maps: from the field `name`, with one size or one per axis, or from its _h and
        _w."""
        param = self.param.convolution_param
        if any(param.HasField(side) for side in pair):
            self.check(self._spatial == 2, f"{pair[0]} & {pair[1]} can only be used for 2D convolution")
            self.check(not given, f"Either {name} or {pair[0]}/{pair[1][-1]} should be specified; not both")
            return [getattr(param, side) for side in pair]
        self.check(
            len(given) in (0, 1, self._spatial),
            f"{name} must be specified once, or once per spatial dimension; found {len(given)} for {self._spatial}",
        )
        sizes = list(given) or [default]
        return sizes * self._spatial if len(sizes) == 1 else sizes

    def window_places(self, sizes: Sequence[int]) -> list[int]:
        """The number of windows along each axis of maps of `sizes`.

        As in Caffe, a quotient below 0 is rounded up: a window that is larger than the padded map, by less than the
        stride, has one place.
        """
        places = []
        for size, kernel, stride, pad, dilation in zip(
            sizes, self._kernel, self._stride, self._pad, self._dilation, strict=True
        ):
            room = size + 2 * pad - (dilation * (kernel - 1) + 1)
            places.append((room // stride if room >= 0 else -(-room // stride)) + 1)
        return places

    def windows(self, image: Sequence[int], places: Sequence[int]) -> Windows:
        """The windows over maps of the sizes `image`, `places` of them along each axis."""
        return Windows(list(image), list(places), self._kernel, self._stride, self._pad, self._dilation)

    def maps(self, tensor: torch.Tensor) -> torch.Tensor:
        """`tensor` as (N, C, *sizes), whatever its axes of images are. Maps without an axis get one, of size 1."""
        if self._channel_axis == 1 and self._spatial:
            return tensor
        shape, axis = tuple(tensor.shape), self._channel_axis
        return tensor.reshape(prod(shape[:axis]), shape[axis], *(shape[axis + 1 :] or [1]))
