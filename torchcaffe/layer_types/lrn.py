"""LRN: local response normalization, across neighbouring channels or within each channel.

Source followed: BVLC Caffe's lrn_layer.cpp.
"""

from collections.abc import Iterator
from math import prod

import torch
from torch.nn import functional

from caffeformat.caffeformat_pb2 import LRNParameter
from torchcaffe.layer_types.base import Blob, Layer

_LARGEST = torch.finfo(torch.float32).max
_PIECE = 1 << 19  # values that a CPU takes through all steps at once: with what becomes of them they fit its cache


class LRN(Layer):
    """x / s^beta, where s = k + alpha / local_size * (sum of x^2 over local_size channels).

    Within a channel, s = 1 + alpha * (mean of x^2 over a square of local_size x local_size places).
    """

    saved_for_backward = ("_scale", "_power")

    def layer_setup(self, bottom: list[Blob], top: list[Blob]) -> None:
        param = self.param.lrn_param
        self.check(param.local_size % 2 == 1, f"LRN only supports odd values for local_size; found {param.local_size}")
        self.check_sizes([param.local_size])
        self.check(len(bottom[0].shape) == 4, f"a bottom of {len(bottom[0].shape)} axes; 4 are needed (N, C, H, W)")
        self._within = param.norm_region == LRNParameter.WITHIN_CHANNEL
        lost = "across channels BVLC Caffe's values are wrong in place; give its top another name"
        self.check(self._within or top[0] is not bottom[0], lost)
        self._size, self._beta = param.local_size, param.beta
        self.operations_a_value += self._size**2 if self._within else 2 * self._size
        self._k = 1.0 if self._within else param.k
        self._alpha = param.alpha if self._within else param.alpha / param.local_size
        slope = 2 * self._alpha * self._beta
        self.check(not abs(slope) > _LARGEST, f"alpha * beta is too large for a float32: {slope:g}")

    def reshape(self, bottom: list[Blob], top: list[Blob]) -> None:
        top[0].reshape(*bottom[0].shape)

    def forward(self, bottom: list[Blob], top: list[Blob]) -> None:
        whole = self.laid_out(bottom[0].value)
        self._scale, self._power, top[0].value = (torch.empty_like(whole) for _ in range(3))
        for x, scale, power, y in _pieces(whole, self._scale, self._power, top[0].value):
            torch.add(self._window(x * x).mul_(self._alpha), self._k, out=scale)
            _negative_power(scale, self._beta, out=power)
            torch.mul(x, power, out=y)

    def backward(self, top: list[Blob], propagate_down: list[bool], bottom: list[Blob]) -> None:
        if not propagate_down[0]:
            return
        whole_diff, whole = self.laid_out(top[0].gradient()), self.laid_out(bottom[0].value)
        # A layer in place may have changed the top since. Caffe reads the top across channels, but not within one.
        top_values = whole * self._power if self._within else self.laid_out(top[0].value)
        gradient = bottom[0].grad = torch.empty_like(whole)
        pieces = _pieces(whole_diff, whole, top_values, self._scale, self._power, gradient)
        for diff, x, y, scale, power, out in pieces:
            spread = self._window((diff * y).div_(scale)).mul_(x)
            torch.mul(diff, power, out=out).add_(spread, alpha=-2 * self._alpha * self._beta)

    def _window(self, x: torch.Tensor) -> torch.Tensor:
        """The sum over each value's neighbourhood; within a channel the mean, which counts the padding.

        The operation is its own transpose, so `backward` uses it too.
        """
        half = self._size // 2
        if self._within:
            return functional.avg_pool2d(x, self._size, 1, half)
        total = x.clone()
        for step in range(1, min(half, x.shape[1] - 1) + 1):
            total[:, step:] += x[:, :-step]
            total[:, :-step] += x[:, step:]
        return total


def _pieces(*tensors: torch.Tensor) -> Iterator[tuple[torch.Tensor, ...]]:
    """The tensors, all of one shape (N, C, H, W): some images of each at a time on the CPU, all at once on a GPU."""
    first = tensors[0]
    images = max(1, _PIECE // max(1, prod(first.shape[1:]))) if first.device.type == "cpu" else first.shape[0]
    if images >= first.shape[0]:
        return iter([tensors])
    return zip(*(tensor.split(images) for tensor in tensors), strict=True)


def _negative_power(x: torch.Tensor, beta: float, out: torch.Tensor) -> None:
    """Writes x^-beta to `out`. For 0.75, the usual beta, two roots are faster than a logarithm and an exponential."""
    if beta == 0.75:
        root = x.rsqrt()
        torch.sqrt(root, out=out).mul_(root)
    else:
        torch.pow(x, -beta, out=out)
