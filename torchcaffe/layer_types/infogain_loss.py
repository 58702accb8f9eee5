"""InfogainLoss: the multinomial logistic loss, each class weighted by what it is worth for the label's class.

Source followed: BVLC Caffe's infogain_loss_layer.cpp.
"""

from math import prod

import torch

from caffeformat import FormatError
from caffeformat.blobs import read_blob
from torchcaffe.common import context, log
from torchcaffe.common.blob import upload
from torchcaffe.layer_types.base import Blob, Fatal
from torchcaffe.layer_types.loss import (
    LossLayer,
    check_labels,
    correctly_rounded,
    label_axis,
    normalizer,
    softmax,
    sum_in_order,
)
from torchcaffe.layer_types.multinomial_logistic_loss import LEAST_PROBABILITY


class InfogainLoss(LossLayer):
    """The mean over labels of - sum over classes c of H[label, c] log p[c], where p is the softmax of the bottom.

    H, K x K values for K classes, is the third bottom, or a binaryproto file that `source` names. With the unit matrix
    this is SoftmaxWithLoss, except that a probability counts as 1e-20 if it is smaller. A second top holds p. As in
    Caffe it has no gradient, and loss_weight must then be given for both tops.
    """

    n_bottoms = (2, 3)
    n_tops = (1, 2)

    def layer_setup(self, bottom: list[Blob], top: list[Blob]) -> None:
        log.info("layer_factory.hpp:77", f"Creating layer {self.name}")  # Caffe creates a Softmax layer of this name
        normalize = self.param.loss_param.HasField("normalize")
        self.check(not normalize, 'normalize is deprecated. use "normalization"')
        self._matrix: torch.Tensor | None = None
        if len(bottom) < 3:
            self._matrix = self._from_file(self.param.infogain_loss_param.source)

    def _from_file(self, source: str) -> torch.Tensor:
        self.check(source, "Infogain matrix source must be specified: give source, or a third bottom")
        try:
            return upload(read_blob(source, "matrix H"), self.context).to(self.context.dtype)
        except FormatError as error:
            raise self.refuse(str(error)) from None

    def reshape(self, bottom: list[Blob], top: list[Blob]) -> None:
        super().reshape(bottom, top)
        self._axis = label_axis(self, self.param.infogain_loss_param.axis, bottom)
        classes = bottom[0].shape[self._axis]
        given = bottom[2].shape if self._matrix is None else tuple(self._matrix.shape)
        self.check(prod(given) == classes**2, f"H must be {classes}x{classes}, for {classes} classes; found {given}")
        if len(top) > 1:
            top[1].reshape(*bottom[0].shape)

    def forward(self, bottom: list[Blob], top: list[Blob]) -> None:
        matrix = bottom[2].value if self._matrix is None else self._matrix
        classes = bottom[0].shape[self._axis]
        self._prob = softmax(bottom[0].value, self._axis)
        label = bottom[1].value.reshape(-1).long()
        self._ignored = None
        if self.param.loss_param.HasField("ignore_label"):
            self._ignored = label == self.param.loss_param.ignore_label
            label = label.masked_fill(self._ignored, 0)
        if context.is_exact(label):
            check_labels(self, label, classes)
        self._worth = matrix.reshape(classes, classes)[label]  # (labels, classes)
        logs = correctly_rounded(torch.log, self._prob.clamp(min=LEAST_PROBABILITY))
        losses = logs.movedim(self._axis, -1).reshape(-1, classes).mul(self._worth).neg_()
        if self._ignored is not None:
            losses.masked_fill_(self._ignored[:, None], 0)
        batch = prod(bottom[0].shape[: self._axis])
        self._divisor = normalizer(self.param.loss_param.normalization, batch, label.numel(), self._ignored)
        top[0].value = sum_in_order(losses) / self._divisor
        if len(top) > 1:
            top[1].value = self._prob

    def backward(self, top: list[Blob], propagate_down: list[bool], bottom: list[Blob]) -> None:
        self.check_no_label_gradient(propagate_down, "infogain_loss_layer.cpp:183")
        if len(bottom) > 2 and propagate_down[2]:
            message = f"{self.where}: layer '{self.name}': InfogainLoss Layer cannot backpropagate to infogain inputs."
            raise Fatal(message, "infogain_loss_layer.cpp:187")
        if not propagate_down[0]:
            return
        last = self._prob.movedim(self._axis, -1)
        diff = last.reshape(self._worth.shape) * self._worth.sum(1, keepdim=True) - self._worth
        if self._ignored is not None:
            diff.masked_fill_(self._ignored[:, None], 0)
        diff.mul_(top[0].gradient() / self._divisor)
        bottom[0].grad = diff.reshape(last.shape).movedim(-1, self._axis).contiguous()
