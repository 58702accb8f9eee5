"""LRN: local response normalization, across neighbouring channels or within each channel.

Source followed: BVLC Caffe's lrn_layer.cpp.
"""

import torch
from torch.nn import functional

from caffeformat.caffeformat_pb2 import LRNParameter
from torchcaffe.layer_types.base import Blob, Layer

_LARGEST = torch.finfo(torch.float32).max


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
        self._k = 1.0 if self._within else param.k
        self._alpha = param.alpha if self._within else param.alpha / param.local_size
        slope = 2 * self._alpha * self._beta
        self.check(not abs(slope) > _LARGEST, f"alpha * beta is too large for a float32: {slope:g}")

    def reshape(self, bottom: list[Blob], top: list[Blob]) -> None:
        top[0].reshape(*bottom[0].shape)

    def forward(self, bottom: list[Blob], top: list[Blob]) -> None:
        x = self.laid_out(bottom[0].value)
        self._scale = self._window(x * x).mul_(self._alpha).add_(self._k)
        self._power = _negative_power(self._scale, self._beta)
        top[0].value = x * self._power

    def backward(self, top: list[Blob], propagate_down: list[bool], bottom: list[Blob]) -> None:
        if not propagate_down[0]:
            return
        diff, x = self.laid_out(top[0].gradient()), self.laid_out(bottom[0].value)
        # A layer in place may have changed the top since. Caffe reads the top across channels, but not within one.
        y = x * self._power if self._within else top[0].value
        ratio = (diff * y).div_(self._scale)
        spread = self._window(ratio).mul_(x)
        bottom[0].grad = (diff * self._power).add_(spread, alpha=-2 * self._alpha * self._beta)

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


def _negative_power(x: torch.Tensor, beta: float) -> torch.Tensor:
    """x^-beta. For 0.75, the usual beta, two roots are faster than a logarithm and an exponential."""
    if beta == 0.75:
        root = x.rsqrt()
        return root.sqrt().mul_(root)
    return x.pow(-beta)
