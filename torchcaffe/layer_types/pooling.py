"""Pooling: the maximum or the mean of windows, or a value drawn from them, or of the whole plane.

The sizes of the top are rounded up unless round_mode is FLOOR. With padding, a last window that would begin beyond the
image is dropped. A mean counts the padding as part of its window, up to the padded border.

STOCHASTIC draws a value in the train phase, and takes the expected one in the test phase, on the CPU too. BVLC Caffe
has it on a GPU only: on a CPU it stops at the first forward pass.

Source followed: BVLC Caffe's pooling_layer.cpp.
"""

from math import ceil, prod

import torch
from torch.nn import functional

from caffeformat.caffeformat_pb2 import TRAIN, PoolingParameter
from torchcaffe.common import context
from torchcaffe.layer_types import stochastic_pooling
from torchcaffe.layer_types.base import Blob, Layer

_LOWEST = -torch.finfo(torch.float32).max


class Pooling(Layer):
    """A second top, for MAX only, holds the position of each window's maximum: h * width + w in the bottom's plane."""

    n_tops = (1, 2)
    saved_for_backward = ("_places",)

    def layer_setup(self, bottom: list[Blob], top: list[Blob]) -> None:
        param = self.param.pooling_param
        self.check_not_in_place(bottom, top)
        self.check(len(bottom[0].shape) == 4, f"a bottom of {len(bottom[0].shape)} axes; 4 are needed (N, C, H, W)")
        self._max = param.pool == PoolingParameter.MAX
        self._stochastic = param.pool == PoolingParameter.STOCHASTIC
        self.check(self._max or len(top) == 1, "a second top is for pool: MAX")
        if param.global_pooling:
            sized = [name for name in ("kernel_size", "kernel_h", "kernel_w") if param.HasField(name)]
            self.check(not sized, "With global_pooling: true Filter size cannot be specified")
        self._stride = self._pair("stride", param.stride)
        self._pad = self._pair("pad", param.pad)
        unpadded = "Padding implemented only for average and max pooling."
        self.check(not (self._stochastic and any(self._pad)), unpadded)
        self.check(min(self._stride) > 0, "Stride dimensions cannot be zero")
        self.check_sizes(self._stride + self._pad)
        if param.global_pooling:
            default = self._pad == [0, 0] and self._stride == [1, 1]
            self.check(default, "With global_pooling: true; only pad = 0 and stride = 1")
        else:
            self._kernel = self._pair("kernel", param.kernel_size)
            self.check(min(self._kernel) > 0, "Filter dimensions cannot be zero: give kernel_size")
            fits = all(pad < kernel for pad, kernel in zip(self._pad, self._kernel, strict=True))
            self.check(fits, f"pad {self._pad} must be smaller than the kernel {self._kernel}")

    def _pair(self, name: str, one: int) -> list[int]:
        """Height and width of kernel, stride or pad: `one` for both, or from the fields _h and _w."""
        param = self.param.pooling_param
        both = [param.HasField(f"{name}_h"), param.HasField(f"{name}_w")]
        once = param.HasField("kernel_size" if name == "kernel" else name)
        self.check(not (any(both) and once) and any(both) == all(both), f"{name} is given once, OR as _h and _w")
        return [getattr(param, f"{name}_h"), getattr(param, f"{name}_w")] if any(both) else [one, one]

    def reshape(self, bottom: list[Blob], top: list[Blob]) -> None:
        shape = bottom[0].shape
        self.check(len(shape) == 4 and min(shape[2:]) > 0, f"a bottom of {shape}; (N, C, H, W) with pixels is needed")
        if self.param.pooling_param.global_pooling:
            self._kernel = list(shape[2:])
        self._bottom_shape = shape
        self._direct = all(2 * pad <= kernel for pad, kernel in zip(self._pad, self._kernel, strict=True))
        self._set_geometry()
        self.operations_a_value = max(Layer.operations_a_value, prod(self._kernel))
        self._sizes = [self._size(axis, shape[2 + axis]) for axis in (0, 1)]
        self.check(min(self._sizes) > 0, f"a bottom of {shape} gives an empty top: the kernel {self._kernel} is larger")
        for blob in top:
            blob.reshape(*shape[:2], *self._sizes)

    def _size(self, axis: int, size: int) -> int:
        kernel, stride, pad = self._kernel[axis], self._stride[axis], self._pad[axis]
        steps = (size + 2 * pad - kernel) / stride
        pooled = (int(steps // 1) if self.param.pooling_param.round_mode == PoolingParameter.FLOOR else ceil(steps)) + 1
        if any(self._pad) and (pooled - 1) * stride >= size + pad:
            pooled -= 1
        self.check(
            (pooled - 1) * stride < size + pad,
            f"the last window begins beyond the bottom, of {size}: stride {stride} is larger than the kernel {kernel}",
        )
        return pooled

    def forward(self, bottom: list[Blob], top: list[Blob]) -> None:
        x = self.laid_out(bottom[0].value)
        if x.shape != self._bottom_shape:
            self.reshape(bottom, top)
        if not self._direct:
            x = functional.pad(x, self._margins(x), value=_LOWEST if self._max else 0)
        if self._stochastic:
            self._forward_stochastic(x, top[0])
        elif self._max:
            top[0].value, self._places = torch.ops.aten.max_pool2d_with_indices(x, *self._max_geometry)
            if len(top) > 1:
                top[1].value = self._in_bottom(bottom[0].shape, x.shape[3]).to(x.dtype)
        else:
            top[0].value = torch.ops.aten.avg_pool2d(x, *self._mean_geometry)
            if not self._direct:
                top[0].value = top[0].value / self._counts(x)

    def backward(self, top: list[Blob], propagate_down: list[bool], bottom: list[Blob]) -> None:
        if not propagate_down[0]:
            return
        x, diff = self.laid_out(bottom[0].value), self.laid_out(top[0].gradient())
        margins = [0] * 4 if self._direct else self._margins(x)
        if not self._direct:
            x = functional.pad(x, margins)
        if self._max or self._stochastic:
            self.check(self._max or self.phase == TRAIN, "pool: STOCHASTIC has no gradient in the test phase")
            backward = torch.ops.aten.max_pool2d_with_indices_backward
            bottom_diff = backward(diff, x, *self._max_geometry, self._places)
        else:
            diff = diff if self._direct else diff / self._counts(x)
            bottom_diff = torch.ops.aten.avg_pool2d_backward(diff, x, *self._mean_geometry)
        bottom[0].grad = bottom_diff if self._direct else functional.pad(bottom_diff, [-side for side in margins])

    def _forward_stochastic(self, x: torch.Tensor, top: Blob) -> None:
        geometry = self._kernel, self._stride, self._sizes
        if self.phase != TRAIN:
            top.value = stochastic_pooling.expected(x, *geometry)
            return
        shape = (*x.shape[:2], *self._sizes)
        if context.is_exact(x):
            numbers = torch.from_numpy(self.context.rng.uniform(prod(shape), 0, 1)).reshape(shape).to(x.dtype)
        else:
            numbers = torch.rand(shape, dtype=x.dtype, device=x.device)
        self._places = stochastic_pooling.drawn(x, *geometry, numbers)
        top.value = x.flatten(2).gather(2, self._places.flatten(2)).reshape(shape)

    # PyTorch refuses a padding of more than half the kernel, such as kernel 3 and pad 2. Then `_direct` is False, and
    # the bottom is padded or cut to what the windows cover before it is pooled.

    def _set_geometry(self) -> None:
        """Sets what PyTorch's functions take, in their order.

        For MAX: kernel_size, stride, padding, dilation, ceil_mode. For AVE: kernel_size, stride, padding, ceil_mode,
        count_include_pad, divisor_override.
        """
        ceil_mode = self._direct and self.param.pooling_param.round_mode == PoolingParameter.CEIL
        pad = self._pad if self._direct else [0, 0]
        self._max_geometry = self._kernel, self._stride, pad, [1, 1], ceil_mode
        self._mean_geometry = self._kernel, self._stride, pad, ceil_mode, True, None if self._direct else 1

    def _margins(self, x: torch.Tensor) -> list[int]:
        """Columns and rows to add, or to cut if negative: left, right, top, bottom."""
        extents = [(n - 1) * s + k for n, s, k in zip(self._sizes, self._stride, self._kernel, strict=True)]
        below, right = (extents[axis] - self._pad[axis] - x.shape[2 + axis] for axis in (0, 1))
        return [self._pad[1], right, self._pad[0], below]

    def _counts(self, x: torch.Tensor) -> torch.Tensor:
        """The number of positions in each window up to the padded border, (H, W) of the top; `x` is padded already."""
        sides = []
        for axis in (0, 1):
            starts = torch.arange(self._sizes[axis], device=x.device) * self._stride[axis]
            border = self._bottom_shape[2 + axis] + 2 * self._pad[axis]
            sides.append((starts + self._kernel[axis]).clamp(max=border) - starts)
        return (sides[0][:, None] * sides[1][None, :]).to(x.dtype)

    def _in_bottom(self, shape: tuple[int, ...], width: int) -> torch.Tensor:
        """The positions of the maxima in the plane of a bottom of `shape`; the pooled plane is `width` wide."""
        if self._direct:
            return self._places
        rows, columns = self._places // width - self._pad[0], self._places % width - self._pad[1]
        return rows * shape[3] + columns
