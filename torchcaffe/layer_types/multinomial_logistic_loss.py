"""MultinomialLogisticLoss: the mean of -log p of the labels' classes, for probabilities p that the bottom gives.

Source followed: BVLC Caffe's multinomial_logistic_loss_layer.cpp.
"""

from math import prod

import torch

from torchcaffe.common import context
from torchcaffe.layer_types.base import Blob
from torchcaffe.layer_types.loss import LossLayer, check_labels, correctly_rounded, sum_in_order

LEAST_PROBABILITY = float(torch.tensor(1e-20))  # Caffe's kLOG_THRESHOLD, a float32


class MultinomialLogisticLoss(LossLayer):
    """Bottoms: probabilities, (N, ...) with the classes along all axes after the first, and labels, (N,).

    A probability counts as 1e-20 if it is smaller. SoftmaxWithLoss computes the same from scores, more exactly.
    """

    def reshape(self, bottom: list[Blob], top: list[Blob]) -> None:
        super().reshape(bottom, top)
        axes, labels = len(bottom[0].shape), bottom[1].shape
        self.check(axes <= 4, f"a bottom of {axes} axes; 1 to 4 are needed")
        self.check(len(labels) <= 4 and prod(labels[1:]) == 1, f"labels of {labels}; one label an image is needed")

    def forward(self, bottom: list[Blob], top: list[Blob]) -> None:
        rows = bottom[0].value.reshape(bottom[0].shape[0], -1)
        self._label = bottom[1].value.reshape(-1, 1).long()
        if context.is_exact(self._label):
            check_labels(self, self._label, rows.shape[1])
        self._prob = rows.gather(1, self._label).clamp_(min=LEAST_PROBABILITY)
        top[0].value = sum_in_order(correctly_rounded(torch.log, self._prob).neg_()) / len(rows)

    def backward(self, top: list[Blob], propagate_down: list[bool], bottom: list[Blob]) -> None:
        self.check_no_label_gradient(propagate_down, "multinomial_logistic_loss_layer.cpp:43")
        if propagate_down[0]:
            images = bottom[0].shape[0]
            diff = torch.zeros_like(bottom[0].value.reshape(images, -1))
            diff.scatter_(1, self._label, (-top[0].gradient() / images) / self._prob)
            bottom[0].grad = diff.reshape(bottom[0].shape)
