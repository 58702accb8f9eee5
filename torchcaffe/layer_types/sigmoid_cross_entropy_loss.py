"""SigmoidCrossEntropyLoss: the cross entropy of each output's sigmoid to its own target.

Source followed: BVLC Caffe's sigmoid_cross_entropy_loss_layer.cpp.
"""

from math import prod

import torch

from caffeformat.caffeformat_pb2 import LossParameter
from torchcaffe.layer_types.base import Blob
from torchcaffe.layer_types.loss import LossLayer, correctly_rounded, normalizer, sum_in_order
from torchcaffe.layer_types.sigmoid import sigmoid


class SigmoidCrossEntropyLoss(LossLayer):
    """The cross entropies of all outputs to their targets, which are mostly 0 or 1, summed up and divided.

    The divisor is the batch size unless loss_param sets another. A target is ignored if it equals
    ignore_label after truncation to an integer.
    """

    def reshape(self, bottom: list[Blob], top: list[Blob]) -> None:
        super().reshape(bottom, top)
        first, second = bottom[0].shape, bottom[1].shape
        self.check(prod(first) == prod(second), f"inputs must have the same count: {first} and {second}")

    def forward(self, bottom: list[Blob], top: list[Blob]) -> None:
        x, target = bottom[0].value, bottom[1].value.reshape(bottom[0].shape)
        self._target, self._ignored = target, None
        positive = (x >= 0).to(x.dtype)
        losses = correctly_rounded(lambda y: torch.log1p(torch.exp(y)), x.abs().neg_()) - x * (target - positive)
        if self.param.loss_param.HasField("ignore_label"):
            self._ignored = target.trunc() == self.param.loss_param.ignore_label
            losses = losses.masked_fill_(self._ignored, 0)
        self._divisor = normalizer(self._normalization(), losses.shape[0], losses.numel(), self._ignored)
        top[0].value = sum_in_order(losses) / self._divisor

    def backward(self, top: list[Blob], propagate_down: list[bool], bottom: list[Blob]) -> None:
        self.check_no_label_gradient(propagate_down, "loss_layer.hpp:46")
        if not propagate_down[0]:
            return
        diff = sigmoid(bottom[0].value).sub_(self._target)
        if self._ignored is not None:
            diff.masked_fill_(self._ignored, 0)
        bottom[0].grad = diff.mul_(top[0].gradient() / self._divisor)

    def _normalization(self) -> int:
        param = self.param.loss_param
        if param.HasField("normalization"):
            return param.normalization
        return LossParameter.VALID if param.HasField("normalize") and param.normalize else LossParameter.BATCH_SIZE
