"""Convolution: filters over one to three spatial axes, in groups, with padding, stride and dilation. Deconvolution:
its transpose."""

import torch

from torchcaffe.layer_types.base import Blob, Layer
from torchcaffe.layer_types.small_maps import SmallMaps, suits

_SUMMED = 2048  # places at most that oneDNN sums over at once


class Convolution(Layer):
    """Several bottoms share the filters, bottom i giving top i. The output's size is rounded down.

    Weights are (num_output, channels / group, kernel h, kernel w).
    """

    n_bottoms = (1, None)
    n_tops = (1, None)
    _transposed = False
    _eater = "kernel"  # what an output of no size is due to

    skips_at = "base_conv_layer.cpp:157"

    def layer_setup(self, bottom: list[Blob], top: list[Blob]) -> None:
        param = self.param.convolution_param
        axes = len(bottom[0].shape)
        self.check_apart(bottom, top)
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
        return self.param.convolution_param.num_output, channels // self.param.convolution_param.group

    def _sizes(self, name: str, given: list[int], pair: tuple[str, ...], default: int) -> list[int]:
        """A size for each spatial axis: from `name`, given once or once an axis, or from its _h and _w."""
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
            self.check(min(sizes) > 0, f"nothing is left of a bottom of {shape}: the {self._eater} is larger")
            above.reshape(shape[0], self.param.convolution_param.num_output, *sizes)

    def _output_sizes(self, sizes: tuple[int, ...]) -> list[int]:
        return [
            (size + 2 * pad - dilation * (kernel - 1) - 1) // stride + 1
            for size, pad, dilation, kernel, stride in zip(
                sizes, self._pad, self._dilation, self._kernel, self._stride, strict=True
            )
        ]

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
        """The convolution as products, where that is faster."""
        weight = self.blobs[0].value
        if self.context.operands != weight.dtype or not suits(below.value, weight, self._geometry()):
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
            below.grad = self.result(self._gradients(diff, x, [True, False, False])[0])
        if not any(wanted[1:]):
            return
        images = self._images_at_once(x if self._transposed else diff)
        for piece, of in zip(diff.split(images), x.split(images), strict=True):
            _, *gradients = self._gradients(piece, of, [False, *wanted[1:]])
            for blob, gradient in zip(self.blobs, gradients, strict=False):
                if gradient is not None:
                    blob.add_gradient(self.result(gradient))

    def _gradients(self, diff: torch.Tensor, x: torch.Tensor, wanted: list[bool]) -> tuple:
        """Of bottom, weights and bias; None for what is not wanted."""
        sizes = [self.param.convolution_param.num_output] if wanted[2] else None
        *geometry, groups = self._geometry()
        weight = self.operand(self.blobs[0].value)
        found = torch.ops.aten.convolution_backward(diff, x, weight, sizes, *geometry, groups, wanted)
        return tuple(gradient if of else None for gradient, of in zip(found, wanted, strict=True))

    def _images_at_once(self, maps: torch.Tensor) -> int:
        """Over how many images a gradient of the parameters is summed at once; `maps` has the places that it sums over.

        oneDNN adds one product to the next, over the whole batch: of 30,000 in float32 the sum is ten times as far from
        the true one as Caffe's, which adds up image by image.
        """
        if maps.device.type != "cpu":
            return len(maps)
        return max(1, _SUMMED * len(maps) // max(1, maps[:, 0].numel()))

    def _geometry(self) -> tuple:
        """stride, padding, dilation, transposed, output padding, groups: the order of PyTorch's arguments."""
        groups = self.param.convolution_param.group
        return self._stride, self._pad, self._dilation, self._transposed, [0] * self._spatial, groups


class Deconvolution(Convolution):
    """The transpose of a convolution with the same settings, whose channels are num_output's and the other way round.

    Weights are (channels, num_output / group, kernel h, kernel w).
    """

    _transposed = True
    _eater = "padding"

    def _weight_channels(self, channels: int) -> tuple[int, int]:
        return channels, self.param.convolution_param.num_output // self.param.convolution_param.group

    def _output_sizes(self, sizes: tuple[int, ...]) -> list[int]:
        return [
            stride * (size - 1) + dilation * (kernel - 1) + 1 - 2 * pad
            for size, pad, dilation, kernel, stride in zip(
                sizes, self._pad, self._dilation, self._kernel, self._stride, strict=True
            )
        ]
