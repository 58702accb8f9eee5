"""HingeLoss: a one-vs-all hinge loss, linear or squared.

Source followed: BVLC Caffe's hinge_loss_layer.cpp.
"""

import torch

from caffeformat.caffeformat_pb2 import HingeLossParameter
from torchcaffe.common import context
from torchcaffe.layer_types.base import Blob
from torchcaffe.layer_types.loss import LossLayer, check_labels


class HingeLoss(LossLayer):
    """The mean over the batch of each image's sum of margins, or with norm: L2 of their squares.

    The margin of an output x is max(0, 1 - x) for the label's class, and max(0, 1 + x) for all others. As in Caffe,
    only the first N labels are read, one per image.
    """

    def reshape(self, bottom: list[Blob], top: list[Blob]) -> None:
        super().reshape(bottom, top)
        self.check(1 <= len(bottom[0].shape) <= 4, f"a bottom of {len(bottom[0].shape)} axes; 1 to 4 are needed")

    def forward(self, bottom: list[Blob], top: list[Blob]) -> None:
        x = bottom[0].value.reshape(bottom[0].shape[0], -1)
        label = bottom[1].value.reshape(-1)[: x.shape[0], None].long()
        if context.is_exact(label):
            check_labels(self, label, x.shape[1])
        self._sign = torch.ones_like(x).scatter_(1, label, -1)
        margin = (x * self._sign).add_(1)
        self._margin = margin.masked_fill_(margin.gt(0).logical_not_(), 0)  # a nan gives 0, as C++'s std::max does
        square = self.param.hinge_loss_param.norm == HingeLossParameter.L2
        top[0].value = (self._margin.square() if square else self._margin).sum() / x.shape[0]

    def backward(self, top: list[Blob], propagate_down: list[bool], bottom: list[Blob]) -> None:
        self.check_no_label_gradient(propagate_down, "loss_layer.hpp:46")
        if not propagate_down[0]:
            return
        square = self.param.hinge_loss_param.norm == HingeLossParameter.L2
        slope = self._margin * 2 if square else self._margin.sign()
        diff = slope.mul_(self._sign).mul_(top[0].gradient() / self._margin.shape[0])
        bottom[0].grad = diff.reshape(bottom[0].shape)
