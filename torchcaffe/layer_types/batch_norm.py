"""BatchNorm: shifts and scales each channel to mean 0 and variance 1.

For a learned scale and bias, a Scale layer follows in the net.

Source followed: BVLC Caffe's batch_norm_layer.cpp.
"""

import torch

from caffeformat.caffeformat_pb2 import TEST, FillerParameter, ParamSpec
from torchcaffe.common import context
from torchcaffe.layer_types.base import Blob, Layer
from torchcaffe.layer_types.batch_norm_kernel import batch_norm_backward
from torchcaffe.layer_types.channel_rows import ChannelRows


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
        self._fraction = param.moving_average_fraction
        channels = bottom[0].shape[1]
        for size in (channels, channels, 1):
            self.add_param((size,), FillerParameter(type="constant"))
        self._eps, self._one = self._constant(param.eps), torch.ones_like(self.blobs[2].value)
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
        self._rows = ChannelRows(shape)
        count = self._rows.count
        self._count, self._unbiased = self._constant(count), self._constant(count / max(count - 1, 1))

    def forward(self, bottom: list[Blob], top: list[Blob]) -> None:
        x = bottom[0].value
        if self._global:
            mean, variance = self._collected()
            self._scale = (variance + self._eps).rsqrt_()
            top[0].value = (x - self._spread(mean)).mul_(self._spread(self._scale))
            return
        self._x = x.clone() if self.bottom_is_overwritten else x
        self._mean, centered, variance = self._statistics(x)
        self._scale = (variance + self._eps).rsqrt_()
        top[0].value = centered.mul_(self._spread(self._scale))
        for blob, new in zip(self.blobs, (self._mean, variance.mul_(self._unbiased), self._one), strict=True):
            torch.add(new, blob.value, alpha=self._fraction, out=blob.value)

    def backward(self, top: list[Blob], propagate_down: list[bool], bottom: list[Blob]) -> None:
        if not propagate_down[0]:
            return
        diff = top[0].gradient()
        if self._global:
            bottom[0].grad = diff * self._spread(self._scale)
            return
        eps, wanted = self.param.batch_norm_param.eps, [True, False, False]  # the bottom's gradient only
        bottom[0].grad = batch_norm_backward(diff, self._x, None, None, (self._mean, self._scale), eps, wanted)[0]

    def _collected(self) -> tuple[torch.Tensor, torch.Tensor]:
        """Mean and variance of past batches, (C,) each; zeros if there was none."""
        mean, variance, weight = (blob.value for blob in self.blobs)
        factor = (1 / weight).masked_fill_(weight == 0, 0)
        return mean * factor, variance * factor

    def _statistics(self, x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        """The mean of each channel, (C,), `x` less it, and the biased variance, (C,).

        On the CPU, PyTorch's variance of many values is either slow or exact to only five digits. Variances of blocks
        are exact and fast, and need no memory for squares.
        """
        if not context.is_exact(x):
            variance, mean = torch.var_mean(x, self._rows.others, correction=0)
            return mean, x - self._spread(mean), variance
        mean = x.sum(self._rows.others).div_(self._count)
        centered = x - self._spread(mean)
        means, variance = torch.batch_norm_update_stats(self._rows.rows(centered), None, None, 0)
        if self._rows.blocks > 1:
            variance = means.square_().add_(variance).view(-1, len(mean)).mean(0)
        return mean, centered, variance

    def _spread(self, values: torch.Tensor) -> torch.Tensor:
        """`values`, (C,), in a shape that broadcasts to the bottom's, (N, C, ...)."""
        return values.view(self._rows.spread)

    def _constant(self, value: float) -> torch.Tensor:
        """`value` as a tensor without axes: PyTorch would make a number into one in each call."""
        return torch.tensor(value, dtype=self.context.dtype, device=self.context.device)
