"""BaseConvolutionLayer, the base class of Convolution and Deconvolution.

Source followed: BVLC Caffe's base_conv_layer.cpp.
"""

from collections.abc import Sequence
from typing import ClassVar

import torch

from torchcaffe.layer_types.base import Blob, Layer, Range
from torchcaffe.layer_types.small_maps import Geometry, SmallMaps, is_faster

_PLACES_AT_ONCE = 2048  # positions: for a parameter gradient, oneDNN adds up at most this many at once


class BaseConvolutionLayer(Layer):
    """Filters over one to three spatial axes, in groups, with padding, stride and dilation.

    Several bottoms share the filters; bottom i gives top i. The blobs are the weights and, with bias_term, the bias
    (num_output,).
    """

    n_bottoms: ClassVar[Range] = (1, None)
    n_tops: ClassVar[Range] = (1, None)
    skip_filling_place = "base_conv_layer.cpp:157"
    _transposed: ClassVar[bool]
    _too_large: ClassVar[str]  # "kernel" or "padding": the setting that is too large if the top has no values

    def layer_setup(self, bottom: list[Blob], top: list[Blob]) -> None:
        param = self.param.convolution_param
        axes = len(bottom[0].shape)
        self.check_not_in_place(bottom, top)
        self.check(self.axis(param.axis, bottom[0]) == 1, f"axis {param.axis}; only 1 (channels) is supported")
        self.check(3 <= axes <= 5, f"a bottom of {axes} axes; 3 to 5 are supported")
        self._spatial = axes - 2
        self._kernel = self._sizes("kernel_size", param.kernel_size, ("kernel_h", "kernel_w"), 0)
        self._stride = self._sizes("stride", param.stride, ("stride_h", "stride_w"), 1)
        self._pad = self._sizes("pad", param.pad, ("pad_h", "pad_w"), 0)
        self._dilation = self._sizes("dilation", param.dilation, (), 1)
        self.check(min(self._kernel) > 0, "Filter dimensions must be nonzero: give kernel_size")
        self.check(min(self._stride) > 0, "Stride dimensions must be nonzero")
        self.check(min(self._dilation) > 0, "Dilation dimensions must be nonzero")
        self.check_sizes(self._kernel + self._stride + self._pad + self._dilation)
        channels, self._channels = bottom[0].shape[1], bottom[0].shape[1]
        self.check(param.num_output > 0, "num_output is not given, or 0")
        self.check(
            param.group > 0 and channels % param.group == 0 and param.num_output % param.group == 0,
            f"group {param.group} must divide {channels} channels and num_output {param.num_output}",
        )
        self.add_param((*self._weight_channels(channels), *self._kernel), param.weight_filler)
        if param.bias_term:
            self.add_param((param.num_output,), param.bias_filler)

    def _weight_channels(self, channels: int) -> tuple[int, int]:
        """The first two sizes of the weights, for a bottom of `channels`."""
        raise NotImplementedError

    def _sizes(self, name: str, given: Sequence[int], pair: tuple[str, ...], default: int) -> list[int]:
        """A size for each spatial axis: from the field `name`, with one size or one per axis, or from its _h and _w."""
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

    def reshape(self, bottom: list[Blob], top: list[Blob]) -> None:
        self.check(len(bottom) == len(top), f"{len(bottom)} bottoms, but {len(top)} tops")
        for below, above in zip(bottom, top, strict=True):
            shape = below.shape
            self.check(shape[1:2] == (self._channels,), f"bottom '{below.name}' of {shape}; {self._channels} channels")
            self.check(shape == bottom[0].shape, f"shape mismatch: {bottom[0].shape} vs. {shape}")
            sizes = self._output_sizes(shape[2:])
            self.check(min(sizes) > 0, f"a bottom of {shape} gives an empty top: the {self._too_large} is larger")
            above.reshape(shape[0], self.param.convolution_param.num_output, *sizes)

    def _output_sizes(self, sizes: tuple[int, ...]) -> list[int]:
        """The top's sizes of the spatial axes from the bottom's."""
        raise NotImplementedError

    def forward(self, bottom: list[Blob], top: list[Blob]) -> None:
        bias = self.operand(self.blobs[1].value) if len(self.blobs) > 1 else None
        weight = self.operand(self.blobs[0].value)
        for below, above in zip(bottom, top, strict=True):
            if products := self._small_maps(below):
                above.value = products.forward(below.value, bias)
            else:
                x = self.operand(self.laid_out(below.value))
                above.value = self.result(torch.convolution(x, weight, bias, *self._geometry()))

    def backward(self, top: list[Blob], propagate_down: list[bool], bottom: list[Blob]) -> None:
        learns = [*self.learns, False][:2]
        for above, down, below in zip(top, propagate_down, bottom, strict=True):
            wanted = [down, *learns]
            if not any(wanted):
                continue
            if products := self._small_maps(below):
                self._backward_small(products, above, below, wanted)
            else:
                self._backward_one(above, below, wanted)

    def _small_maps(self, below: Blob) -> SmallMaps | None:
        """The convolution as products of matrices, if that is faster, else None."""
        weight = self.blobs[0].value
        if self.context.operands != weight.dtype or not is_faster(below.value, weight, self._geometry()):
            return None
        return SmallMaps(below.shape[2:], weight, self.param.convolution_param.group)

    def _backward_small(self, products: SmallMaps, above: Blob, below: Blob, wanted: list[bool]) -> None:
        diff = above.gradient()
        if wanted[1]:
            products.add_weight_gradient(below.value, diff, self.blobs[0].gradient())
        if wanted[2]:
            self.blobs[1].add_gradient(diff.sum((0, 2, 3)))
        if wanted[0]:
            below.grad = products.backward(diff)

    def _backward_one(self, above: Blob, below: Blob, wanted: list[bool]) -> None:
        diff, x = self.operand(above.gradient()), self.operand(self.laid_out(below.value))
        if wanted[0]:
            gradient = self._gradients(diff, x, [True, False, False])[0]
            below.grad = None if gradient is None else self.result(gradient)
        if not any(wanted[1:]):
            return
        images = self._images_at_once(x if self._transposed else diff)
        for some_diff, some_x in zip(diff.split(images), x.split(images), strict=True):
            _, *gradients = self._gradients(some_diff, some_x, [False, *wanted[1:]])
            for blob, gradient in zip(self.blobs, gradients, strict=False):
                if gradient is not None:
                    blob.add_gradient(self.result(gradient))

    def _gradients(self, diff: torch.Tensor, x: torch.Tensor, wanted: list[bool]) -> list[torch.Tensor | None]:
        """The gradients of bottom, weights and bias; None for each that is not wanted."""
        sizes = [self.param.convolution_param.num_output] if wanted[2] else None
        *geometry, groups = self._geometry()
        weight = self.operand(self.blobs[0].value)
        gradients = torch.ops.aten.convolution_backward(diff, x, weight, sizes, *geometry, groups, wanted)
        return [gradient if want else None for gradient, want in zip(gradients, wanted, strict=True)]

    def _images_at_once(self, maps: torch.Tensor) -> int:
        """The number of images over which a parameter gradient is summed at once, at all positions of `maps`.

        oneDNN sums over the whole batch in one go. For 30,000 products in float32, the error of that sum is ten times
        that of Caffe, which sums up image by image.
        """
        if maps.device.type != "cpu":
            return len(maps)
        return max(1, _PLACES_AT_ONCE * len(maps) // max(1, maps[:, 0].numel()))

    def _geometry(self) -> Geometry:
        groups = self.param.convolution_param.group
        return self._stride, self._pad, self._dilation, self._transposed, [0] * self._spatial, groups
