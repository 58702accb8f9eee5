"""BatchNorm: shifts and scales each channel to mean 0 and variance 1.

For a learned scale and bias, a Scale layer follows in the net.

Source followed: BVLC Caffe's batch_norm_layer.cpp.
"""

import torch

from caffeformat.caffeformat_pb2 import TEST, FillerParameter, ParamSpec
from torchcaffe.common import context
from torchcaffe.layer_types.base import Blob, Layer

_BLOCK = 1024  # values per block: statistics are computed over blocks that fit into the CPU's cache


class BatchNorm(Layer):
    """Uses the statistics of the batch, or the collected ones with use_global_stats, the default in the test phase.

    The blobs are running sums over past batches: of the means, (C,), of the unbiased variances, (C,), and of their
    weights, (1,). Each batch first scales them by moving_average_fraction. They are changed in place, because a test
    net shares them, and are never learned.
    """

    saved_for_backward = ("_x", "_mean", "_scale")
    skip_filling_place = "batch_norm_layer.cpp:23"

    def layer_setup(self, bottom: list[Blob], top: list[Blob]) -> None:
        param, axes = self.param.batch_norm_param, len(bottom[0].shape)
        self.check(axes >= 2, f"a bottom of {axes} axes; at least 2 are needed (N, C)")
        self._global = param.use_global_stats if param.HasField("use_global_stats") else self.phase == TEST
        channels = bottom[0].shape[1]
        for size in (channels, channels, 1):
            self.add_param((size,), FillerParameter(type="constant"))
        for spec in self.param.param:
            learned = f"its statistics cannot be learned; found param {{ lr_mult: {spec.lr_mult:g} }}, give 0 or none"
            self.check(spec.lr_mult == 0, learned)
        for _ in range(len(self.param.param), 3):
            self.param.param.append(ParamSpec(lr_mult=0))

    def reshape(self, bottom: list[Blob], top: list[Blob]) -> None:
        self.check_not_empty(bottom[0])
        shape, channels = bottom[0].shape, self.blobs[0].shape[0]
        self.check(shape[1:2] == (channels,), f"bottom '{bottom[0].name}' of {shape}; {channels} channels are needed")
        if top[0] is not bottom[0]:
            top[0].reshape(*shape)

    def forward(self, bottom: list[Blob], top: list[Blob]) -> None:
        x, eps = bottom[0].value, self.param.batch_norm_param.eps
        if self._global:
            mean, variance = self._collected()
            self._scale = (variance + eps).rsqrt_()
            top[0].value = (x - _spread(mean, x)).mul_(_spread(self._scale, x))
            return
        self._x = x  # layers in place on the top may overwrite it
        self._mean, variance = _statistics(x)
        self._scale = (variance + eps).rsqrt_()
        top[0].value = (x - _spread(self._mean, x)).mul_(_spread(self._scale, x))
        self._collect(variance, x.numel() // variance.numel())

    def backward(self, top: list[Blob], propagate_down: list[bool], bottom: list[Blob]) -> None:
        if not propagate_down[0]:
            return
        diff = top[0].gradient()
        if self._global:
            bottom[0].grad = diff * _spread(self._scale, diff)
            return
        eps, wanted = self.param.batch_norm_param.eps, [True, False, False]  # the bottom's gradient only
        bottom[0].grad = torch.ops.aten.native_batch_norm_backward(
            diff, self._x, None, None, None, self._mean, self._scale, True, eps, wanted
        )[0]

    def _collected(self) -> tuple[torch.Tensor, torch.Tensor]:
        """Mean and variance of past batches, (C,) each; zeros if there was none."""
        mean, variance, weight = (blob.value for blob in self.blobs)
        factor = (1 / weight).masked_fill_(weight == 0, 0)
        return mean * factor, variance * factor

    def _collect(self, variance: torch.Tensor, count: int) -> None:
        """Adds the statistics of a batch with `count` values per channel."""
        fraction = self.param.batch_norm_param.moving_average_fraction
        unbiased = variance * (count / max(count - 1, 1))
        new: tuple[torch.Tensor | int, ...] = (self._mean, unbiased, 1)
        for blob, statistic in zip(self.blobs, new, strict=True):
            blob.value.mul_(fraction).add_(statistic)


def _statistics(x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """The mean and the biased variance of each channel, (C,) each.

    On the CPU, PyTorch's variance of many values is either slow or exact to only five digits. Variances of blocks are
    exact and fast, and need no memory for squares.
    """
    others = [axis for axis in range(x.dim()) if axis != 1]
    if not context.is_exact(x):
        variance, mean = torch.var_mean(x, others, correction=0)
        return mean, variance
    mean = x.mean(others)
    rows = x.movedim(1, -1).reshape(-1, x.shape[1])
    blocks = rows.split(_BLOCK)
    each = [torch.batch_norm_update_stats(block.t()[None, :, None], None, None, 0) for block in blocks]
    means, variances = (torch.stack(values) for values in zip(*each, strict=True))
    share = torch.tensor([[len(block) / len(rows)] for block in blocks], dtype=x.dtype)
    return mean, (variances.add_((means - mean).square()) * share).sum(0)


def _spread(values: torch.Tensor, x: torch.Tensor) -> torch.Tensor:
    """`values`, (C,), in a shape that broadcasts to `x`, (N, C, ...)."""
    return values.reshape(-1, *[1] * (x.dim() - 2))
