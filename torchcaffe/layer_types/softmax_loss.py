"""SoftmaxWithLoss: the multinomial logistic loss of the bottom's softmax.

Source followed: BVLC Caffe's softmax_loss_layer.cpp.
"""

from math import prod

import torch

from caffeformat.caffeformat_pb2 import LossParameter
from torchcaffe.common import context, log
from torchcaffe.layer_types.base import Blob
from torchcaffe.layer_types.loss import (
    LossLayer,
    check_labels,
    correctly_rounded,
    label_axis,
    normalizer,
    softmax,
    sum_in_order,
)

_TINY = torch.finfo(torch.float32).tiny  # FLT_MIN: caps the loss of one label at 87.3365


class SoftmaxWithLoss(LossLayer):
    """The mean of -log p over all labels, where p is the softmax probability of the label's class.

    A second top, for the probabilities, is refused: BVLC Caffe has code for it, but that fails, with one
    loss_weight and with two.
    """

    def layer_setup(self, bottom: list[Blob], top: list[Blob]) -> None:
        log.info("layer_factory.hpp:77", f"Creating layer {self.name}")  # Caffe creates a Softmax layer of this name

    def reshape(self, bottom: list[Blob], top: list[Blob]) -> None:
        super().reshape(bottom, top)
        self._axis = label_axis(self, self.param.softmax_param.axis, bottom)

    def forward(self, bottom: list[Blob], top: list[Blob]) -> None:
        self._prob = softmax(bottom[0].value, self._axis)
        self._set_labels(bottom)
        losses = correctly_rounded(torch.log, self._prob.gather(self._axis, self._label).clamp_(min=_TINY)).neg_()
        if self._ignored is not None:
            losses = losses.masked_fill_(self._ignored, 0)
        batch = prod(losses.shape[: self._axis])
        self._divisor = normalizer(self._normalization(), batch, losses, self._ignored)
        top[0].value = sum_in_order(losses) / self._divisor

    def backward(self, top: list[Blob], propagate_down: list[bool], bottom: list[Blob]) -> None:
        self.check_no_label_gradient(propagate_down, "softmax_loss_layer.cpp:121")
        if not propagate_down[0]:
            return
        minus_one = torch.full((), -1, dtype=self._prob.dtype, device=self._prob.device).expand(self._label.shape)
        diff = self._prob.scatter_add(self._axis, self._label, minus_one)
        if self._ignored is not None:
            diff.masked_fill_(self._ignored, 0)
        bottom[0].grad = diff.mul_(top[0].gradient() / self._divisor)

    def _set_labels(self, bottom: list[Blob]) -> None:
        """Sets `_label`, int64, of the bottom's shape with 1 for the classes, and `_ignored`, a mask of that shape.

        `_ignored` is None without ignore_label.
        """
        shape = list(bottom[0].shape)
        classes, shape[self._axis] = shape[self._axis], 1
        label = bottom[1].value.reshape(shape).long()
        self._ignored = None
        if self.param.loss_param.HasField("ignore_label"):
            self._ignored = label == self.param.loss_param.ignore_label
            label = label.masked_fill(self._ignored, 0)
        if context.is_exact(label):  # on a GPU, PyTorch's own assertion stops the run
            check_labels(self, label, classes)
        self._label = label

    def _normalization(self) -> int:
        param = self.param.loss_param
        if param.HasField("normalize") and not param.HasField("normalization"):
            return LossParameter.VALID if param.normalize else LossParameter.BATCH_SIZE
        return param.normalization
