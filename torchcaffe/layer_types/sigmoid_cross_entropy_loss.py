"""Losses that judge each output by itself: SigmoidCrossEntropyLoss, HingeLoss. Their tops are scalars.

Source followed: BVLC Caffe's layers of these names.
"""

from math import prod

import torch

from caffeformat.caffeformat_pb2 import HingeLossParameter, LossParameter
from torchcaffe.common import context
from torchcaffe.layer_types.base import Blob, Fatal
from torchcaffe.layer_types.softmax_loss import _exactly, _Loss, _sum_in_order, check_labels


class _LabelledLoss(_Loss):
    def allow_force_backward(self, bottom_index: int) -> bool:
        return bottom_index != 1

    def _check_labels_need_no_gradient(self, propagate_down: list[bool]) -> None:
        if propagate_down[1]:
            raise Fatal(f"{self.where}: layer '{self.name}': {self.type} Layer cannot backpropagate to label inputs.",
                        "loss_layer.hpp:46")  # fmt: skip


class SigmoidCrossEntropyLoss(_LabelledLoss):
    """The cross entropy of the bottom's sigmoid to targets, most often 0 or 1, summed over all but the batch.

    The sum is divided by the batch size unless loss_param says otherwise. A target is ignored if its whole part is
    ignore_label.
    """

    def reshape(self, bottom: list[Blob], top: list[Blob]) -> None:
        super().reshape(bottom, top)
        first, second = bottom[0].shape, bottom[1].shape
        self.check(prod(first) == prod(second), f"inputs must have the same count: {first} and {second}")

    def forward(self, bottom: list[Blob], top: list[Blob]) -> None:
        x, target = bottom[0].value, bottom[1].value.reshape(bottom[0].shape)
        self._target, self._ignored = target, None
        positive = (x >= 0).to(x.dtype)
        losses = _exactly(lambda y: torch.log1p(torch.exp(y)), x.abs().neg_()) - x * (target - positive)
        if self.param.loss_param.HasField("ignore_label"):
            self._ignored = target.trunc() == self.param.loss_param.ignore_label
            losses = losses.masked_fill_(self._ignored, 0)
        self._divisor = self._normalizer(losses)
        top[0].value = _sum_in_order(losses) / self._divisor

    def backward(self, top: list[Blob], propagate_down: list[bool], bottom: list[Blob]) -> None:
        self._check_labels_need_no_gradient(propagate_down)
        if not propagate_down[0]:
            return
        diff = torch.sigmoid(bottom[0].value).sub_(self._target)
        if self._ignored is not None:
            diff.masked_fill_(self._ignored, 0)
        bottom[0].grad = diff.mul_(top[0].gradient() / self._divisor)

    def _normalizer(self, losses: torch.Tensor) -> torch.Tensor | float:
        mode = self._mode()
        if mode == LossParameter.NONE:
            return 1.0
        if mode == LossParameter.BATCH_SIZE:
            return max(1.0, losses.shape[0])
        if mode == LossParameter.FULL or self._ignored is None:
            return max(1.0, losses.numel())
        return (~self._ignored).sum().clamp(min=1).to(losses.dtype)

    def _mode(self) -> int:
        param = self.param.loss_param
        if param.HasField("normalization"):
            return param.normalization
        return LossParameter.VALID if param.HasField("normalize") and param.normalize else LossParameter.BATCH_SIZE


class HingeLoss(_LabelledLoss):
    """The mean over the batch of the margins, max(0, 1 - x) for the label and max(0, 1 + x) for all others, or of their
    squares. A label an image is read, the first of them."""

    def reshape(self, bottom: list[Blob], top: list[Blob]) -> None:
        super().reshape(bottom, top)
        self.check(1 <= len(bottom[0].shape) <= 4, f"a bottom of {len(bottom[0].shape)} axes; 1 to 4 are needed")

    def forward(self, bottom: list[Blob], top: list[Blob]) -> None:
        x = bottom[0].value.reshape(bottom[0].shape[0], -1)
        label = bottom[1].value.reshape(-1)[: x.shape[0], None].long()
        if context.is_exact(label):
            check_labels(self, label, x.shape[1])
        self._sign = torch.ones_like(x).scatter_(1, label, -1)
        self._margin = (x * self._sign).add_(1).clamp_(min=0)
        square = self.param.hinge_loss_param.norm == HingeLossParameter.L2
        top[0].value = (self._margin.square() if square else self._margin).sum() / x.shape[0]

    def backward(self, top: list[Blob], propagate_down: list[bool], bottom: list[Blob]) -> None:
        self._check_labels_need_no_gradient(propagate_down)
        if not propagate_down[0]:
            return
        square = self.param.hinge_loss_param.norm == HingeLossParameter.L2
        slope = self._margin * 2 if square else self._margin.sign()
        diff = slope.mul_(self._sign).mul_(top[0].gradient() / self._margin.shape[0])
        bottom[0].grad = diff.reshape(bottom[0].shape)
