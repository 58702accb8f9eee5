"""Accuracy: the share of labels among the top_k predictions; a second top has the share of each class.

Source followed: BVLC Caffe's accuracy_layer.cpp.
"""

import torch

from torchcaffe.common import context
from torchcaffe.layer_types.base import Blob, Fatal, Layer
from torchcaffe.layer_types.softmax_loss import check_labels, label_axis


class Accuracy(Layer):
    """A label counts as correct if fewer than top_k other classes score as high or higher."""

    n_bottoms = (2, 2)
    n_tops = (1, 2)

    def reshape(self, bottom: list[Blob], top: list[Blob]) -> None:
        param = self.param.accuracy_param
        self._axis = label_axis(self, param.axis, bottom)
        self.check_not_empty(bottom[0])
        classes = bottom[0].shape[self._axis]
        self.check(
            param.top_k <= classes,
            f"top_k must be less than or equal to the number of classes: {param.top_k}, {classes}",
        )
        top[0].reshape()
        if len(top) > 1:
            top[1].reshape(classes)

    def forward(self, bottom: list[Blob], top: list[Blob]) -> None:
        scores = bottom[0].value.movedim(self._axis, -1).reshape(-1, bottom[0].shape[self._axis])
        label = bottom[1].value.reshape(-1).long()
        counted = torch.ones_like(label, dtype=torch.bool)
        if self.param.accuracy_param.HasField("ignore_label"):
            counted = label != self.param.accuracy_param.ignore_label
        label = label.masked_fill(~counted, 0)
        if context.is_exact(label):
            check_labels(self, label, scores.shape[1])
        rivals = (scores >= scores.gather(1, label[:, None])).sum(1) - 1
        correct = (rivals < self.param.accuracy_param.top_k) & counted
        top[0].value = correct.sum().to(scores.dtype) / counted.sum().clamp(min=1).to(scores.dtype)
        if len(top) > 1:
            correct_of_class, count_of_class = (
                scores.new_zeros(scores.shape[1]).scatter_add_(0, label, mask.to(scores.dtype))
                for mask in (correct, counted)
            )
            top[1].value = correct_of_class / count_of_class.clamp(min=1)

    def backward(self, top: list[Blob], propagate_down: list[bool], bottom: list[Blob]) -> None:
        if any(propagate_down):
            raise Fatal(f"{self.where}: layer '{self.name}': Accuracy has no gradient", "accuracy_layer.hpp:82")
