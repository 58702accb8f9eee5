"""BaseConvolutionLayer, the base class of Convolution and Deconvolution.

Source followed: BVLC Caffe's base_conv_layer.cpp.
"""

from collections.abc import Callable
from typing import ClassVar

import torch

from torchcaffe.layer_types import columns, one_place, position_pairs
from torchcaffe.layer_types.base import Blob, Range
from torchcaffe.layer_types.columns import ColumnProducts
from torchcaffe.layer_types.one_place import OnePlace
from torchcaffe.layer_types.position_pairs import PositionPairs
from torchcaffe.layer_types.sliding_windows import SlidingWindowsLayer
from torchcaffe.layer_types.small_maps import Geometry, SmallMaps, is_faster
from torchcaffe.layer_types.small_maps_bf16 import SmallMapsBf16

_PLACES_AT_ONCE = 2560  # positions: for a parameter gradient in float32, oneDNN adds up at most this many at once
_MOST_SPATIAL_AXES = 3  # of PyTorch's convolutions

_Products = SmallMaps | SmallMapsBf16 | ColumnProducts | OnePlace | PositionPairs
_Way = Callable[[torch.Tensor], _Products]  # from the weights


class BaseConvolutionLayer(SlidingWindowsLayer):
    """Filters over all axes after that of the channels, in groups, with padding, stride and dilation.

    The axes before are those of images. Without an axis after the channels, as for a bottom (N, C), a filter has one
    place. Several bottoms share the filters; bottom i gives top i. The blobs are the weights and, with bias_term, the
    bias (num_output,).
    """

    n_bottoms: ClassVar[Range] = (1, None)
    n_tops: ClassVar[Range] = (1, None)
    skip_filling_place = "base_conv_layer.cpp:157"
    _way: _Way | None
    _transposed: ClassVar[bool]
    _too_large: ClassVar[str]  # "kernel" or "padding": the setting that is too large if the top has no values

    def layer_setup(self, bottom: list[Blob], top: list[Blob]) -> None:
        param = self.param.convolution_param
        self.check_not_in_place(bottom, top)
        self.read_geometry(bottom[0])
        channels = self._channels = bottom[0].shape[self._channel_axis]
        self.check(param.num_output > 0, "num_output is not given, or 0")
        self.check(
            param.group > 0 and channels % param.group == 0 and param.num_output % param.group == 0,
            f"group {param.group} must divide {channels} channels and num_output {param.num_output}",
        )
        self.add_param((*self._weight_channels(channels), *self._kernel), param.weight_filler)
        if param.bias_term:
            self.add_param((param.num_output,), param.bias_filler)
        axes = max(1, self._spatial)
        sizes = self._stride or [1], self._pad or [0], self._dilation or [1]
        self._geometry: Geometry = *sizes, self._transposed, [0] * axes, param.group
        self._sizes_of_way: tuple[torch.Size, ...] = ()  # of the maps and the weights for which `_way` was chosen

    def _weight_channels(self, channels: int) -> tuple[int, int]:
        """The first two sizes of the weights, for a bottom of `channels`."""
        raise NotImplementedError

    def reshape(self, bottom: list[Blob], top: list[Blob]) -> None:
        self.check(len(bottom) == len(top), f"{len(bottom)} bottoms, but {len(top)} tops")
        axis = self._channel_axis
        for below, above in zip(bottom, top, strict=True):
            shape = below.shape
            axes = axis + 1 + self._spatial
            self.check(len(shape) == axes, f"bottom '{below.name}' of {shape}; num_axes may not change from {axes}")
            fits = shape[axis] == self._channels
            self.check(fits, f"bottom '{below.name}' of {shape}; the filters are for {self._channels} channels")
            self.check(shape == bottom[0].shape, f"shape mismatch: {bottom[0].shape} vs. {shape}")
            sizes = self._output_sizes(shape[axis + 1 :])
            empty = f"a bottom of {shape} gives an empty top: the {self._too_large} is larger"
            self.check(min(sizes, default=1) > 0, empty)
            above.reshape(*shape[:axis], self.param.convolution_param.num_output, *sizes)

    def _output_sizes(self, sizes: tuple[int, ...]) -> list[int]:
        """The top's sizes of the spatial axes from the bottom's."""
        raise NotImplementedError

    def forward(self, bottom: list[Blob], top: list[Blob]) -> None:
        bias = self.blobs[1].value if len(self.blobs) > 1 else None
        for below, above in zip(bottom, top, strict=True):
            maps = self.maps(below.value)
            if products := self._products(maps):
                y = products.forward(maps, bias)
            else:
                x, rounded = self.operand(self.laid_out(maps)), None if bias is None else self.operand(bias)
                y = self.result(torch.convolution(x, self._weight_operand(), rounded, *self._geometry))
            above.value = self._like(y, below.value)

    def backward(self, top: list[Blob], propagate_down: list[bool], bottom: list[Blob]) -> None:
        learns = [*self.learns, False][:2]
        for above, down, below in zip(top, propagate_down, bottom, strict=True):
            wanted = [down, *learns]
            if not any(wanted):
                continue
            maps, diff = self.maps(below.value), self.maps(above.gradient())
            if products := self._products(maps):
                gradient = self._backward_products(products, diff, maps, wanted)
            else:
                gradient = self._backward_one(diff, maps, wanted)
            if gradient is not None:
                below.grad = gradient.reshape(below.shape)

    def _weight(self) -> torch.Tensor:
        """The weights with at least one axis for the maps."""
        weight = self.blobs[0].value
        return weight if self._spatial else weight[..., None]

    def _weight_operand(self) -> torch.Tensor:
        """The same in the type in which products are computed."""
        weight = self.weight_operand(0)
        return weight if self._spatial else weight[..., None]

    def _like(self, y: torch.Tensor, bottom: torch.Tensor) -> torch.Tensor:
        """The maps `y` with the axes of `bottom` for images."""
        if self._channel_axis == 1 and self._spatial:
            return y
        return y.reshape(*bottom.shape[: self._channel_axis], y.shape[1], *(y.shape[2:] if self._spatial else ()))

    def _products(self, maps: torch.Tensor) -> _Products | None:
        """The convolution as products of matrices, if PyTorch has no such convolution or a slower one, else None."""
        sizes = maps.shape, self.blobs[0].value.shape
        if sizes != self._sizes_of_way:
            self._sizes_of_way, self._way = sizes, self._chosen_way(maps)
        return self._way and self._way(self._weight())

    def _chosen_way(self, maps: torch.Tensor) -> _Way | None:
        """What makes the products of the weights and `maps` of this shape."""
        groups, operands = self.param.convolution_param.group, self.context.operands
        if self._spatial > _MOST_SPATIAL_AXES or 0 in self._dilation or self._is_larger(maps.shape[2:]):
            sizes = [list(maps.shape[2:]), self._output_sizes(tuple(maps.shape[2:]))]
            image, places = reversed(sizes) if self._transposed else sizes
            windows = self.windows(image, places)
            return lambda weight: ColumnProducts(windows, weight, groups, self._transposed, operands)
        weight, size = self._weight(), tuple(maps.shape[2:])
        if operands == maps.dtype and one_place.is_faster(maps, weight, self._geometry):
            return OnePlace
        if is_faster(maps, weight, self._geometry):
            if operands == torch.bfloat16:
                return lambda weight: SmallMapsBf16(size, self.blobs[0], groups)
            return lambda weight: SmallMaps(size, weight, groups)
        if operands == maps.dtype and self._spatial == 2:
            tops = tuple(self._output_sizes(size))
            if position_pairs.is_faster(maps, tops, weight, self._geometry):
                return lambda weight: PositionPairs(size, tops, weight, self._geometry)
        return None

    def _is_larger(self, sizes: tuple[int, ...]) -> bool:
        """Whether the kernel is larger than a padded map of `sizes`."""
        sides = zip(sizes, self._kernel, self._pad, self._dilation, strict=False)  # without an axis no window is larger
        return not self._transposed and any(size + 2 * pad <= dil * (side - 1) for size, side, pad, dil in sides)

    def _backward_products(
        self,
        products: _Products,
        diff: torch.Tensor,
        x: torch.Tensor,
        wanted: list[bool],
    ) -> torch.Tensor | None:
        if wanted[1]:
            products.add_weight_gradient(x, diff, self.blobs[0].gradient())
        if wanted[2]:
            self.blobs[1].add_gradient(diff.sum([axis for axis in range(diff.dim()) if axis != 1]))
        return products.backward(diff) if wanted[0] else None

    def _backward_one(self, diff: torch.Tensor, maps: torch.Tensor, wanted: list[bool]) -> torch.Tensor | None:
        """Adds the gradients of the parameters, and returns that of the bottom if it is wanted."""
        diff, x = self.operand(diff), self.operand(self.laid_out(maps))
        gradient = self._weight_gradient(diff, x) if wanted[1] else None
        if gradient is not None:
            self._add_gradients([gradient, diff.sum([0, 2, 3]) if wanted[2] else None])
            wanted = [wanted[0], False, False]
        images = self._images_at_once(x if self._transposed else diff)
        if images < x.shape[0] and any(wanted[1:]):
            for some_diff, some_x in zip(diff.split(images), x.split(images), strict=True):
                self._add_gradients(self._gradients(some_diff, some_x, [False, *wanted[1:]])[1:])
            wanted = [wanted[0], False, False]
        below, *gradients = self._gradients(diff, x, wanted) if any(wanted) else (None,)
        self._add_gradients(gradients)
        return None if below is None else self.result(below)

    def _weight_gradient(self, diff: torch.Tensor, x: torch.Tensor) -> torch.Tensor | None:
        """The gradient of the weights as one product of matrices, if that is faster than oneDNN's, else None."""
        weight, geometry = self._weight(), self._geometry
        if weight.dim() != 4 or self._transposed or x.device.type != "cpu" or x.dtype != torch.float32:
            return None
        size, places = tuple(x.shape[2:]), tuple(diff.shape[2:])
        if position_pairs.gradient_is_faster(x, places, weight, geometry):
            return PositionPairs(size, places, weight, geometry).weight_gradient(x, diff)
        if self._images_at_once(diff) < x.shape[0] and columns.is_faster(weight):
            windows = self.windows(size, places)
            gradient, groups = torch.zeros_like(weight), self.param.convolution_param.group
            ColumnProducts(windows, weight, groups, False, x.dtype).add_weight_gradient(x, diff, gradient)
            return gradient
        return None

    def _add_gradients(self, gradients: list[torch.Tensor | None]) -> None:
        """Adds gradients of the parameters."""
        for blob, gradient in zip(self.blobs, gradients, strict=False):
            if gradient is not None:
                blob.add_gradient(self.result(gradient).reshape(blob.shape))

    def _gradients(self, diff: torch.Tensor, x: torch.Tensor, wanted: list[bool]) -> list[torch.Tensor | None]:
        """The gradients of bottom, weights and bias; None for each that is not wanted."""
        sizes = [self.param.convolution_param.num_output] if wanted[2] else None
        *geometry, groups = self._geometry
        weight = self._weight_operand()
        gradients = torch.ops.aten.convolution_backward(diff, x, weight, sizes, *geometry, groups, wanted)
        return [gradient if want else None for gradient, want in zip(gradients, wanted, strict=True)]

    def _images_at_once(self, maps: torch.Tensor) -> int:
        """The number of images over which a parameter gradient is summed at once, at all positions of `maps`.

        oneDNN sums over the whole batch in one go. For 30,000 products in float32, the error of that sum is ten times
        that of Caffe, which sums up image by image. Rounding the sum to bfloat16 makes a much larger one.
        """
        images, channels = maps.shape[:2]
        if maps.device.type != "cpu" or maps.dtype == torch.bfloat16:
            return images
        return max(1, _PLACES_AT_ONCE * images // max(1, maps.numel() // max(1, channels)))
