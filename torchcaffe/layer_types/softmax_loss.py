"""SoftmaxWithLoss: the multinomial logistic loss of the bottom's softmax.

Source followed: BVLC Caffe's softmax_loss_layer.cpp.
"""

from math import prod

import numpy as np
import torch

from caffeformat.caffeformat_pb2 import LossParameter
from torchcaffe.common import log
from torchcaffe.layer_types.base import Blob
from torchcaffe.layer_types.loss import (
    LossLayer,
    are_few,
    check_labels,
    correctly_rounded,
    label_axis,
    normalizer,
    softmax,
    softmax_of_few,
    sum_in_order,
    total_in_order,
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
        shape = bottom[0].shape
        self._batch, self._label_shape = prod(shape[: self._axis]), (*shape[: self._axis], 1, *shape[self._axis + 1 :])
        self._mode, self._ignore_label = self._normalization(), None
        if self.param.loss_param.HasField("ignore_label"):
            self._ignore_label = self.param.loss_param.ignore_label
        minus_one = torch.full((), -1, dtype=self.context.dtype, device=self.context.device)
        self._minus_one = minus_one.expand(self._label_shape)
        self._starts = np.arange(self._batch) * shape[self._axis]  # of each row, for scores (N, classes)

    def forward(self, bottom: list[Blob], top: list[Blob]) -> None:
        scores = bottom[0].value
        self._by_numpy = scores.dim() == 2 and self._axis == 1 and self._ignore_label is None and are_few(scores)
        if self._by_numpy:
            top[0].value = self._loss_of_few(scores.numpy(), bottom[1].value.numpy())
            return
        self._prob = softmax(bottom[0].value, self._axis)
        self._set_labels(bottom)
        prob = self._probability_of_label(bottom[0].shape[self._axis]).clamp_(min=_TINY)
        losses = correctly_rounded(torch.log_, prob).neg_()
        if self._ignored is not None:
            losses = losses.masked_fill_(self._ignored, 0)
        self._divisor = normalizer(self._mode, self._batch, losses.numel(), self._ignored)
        top[0].value = sum_in_order(losses).div_(self._divisor)

    def backward(self, top: list[Blob], propagate_down: list[bool], bottom: list[Blob]) -> None:
        self.check_no_label_gradient(propagate_down, "softmax_loss_layer.cpp:121")
        if not propagate_down[0]:
            return
        if self._by_numpy:
            bottom[0].grad = self._gradient_of_few(top[0].gradient().item())
            return
        diff = self._prob.scatter_add(self._axis, self._label, self._minus_one)
        if self._ignored is not None:
            diff.masked_fill_(self._ignored, 0)
        bottom[0].grad = diff.mul_(top[0].gradient() / self._divisor)

    @np.errstate(all="ignore")
    def _loss_of_few(self, scores: np.ndarray, labels: np.ndarray) -> torch.Tensor:
        """The loss of scores (N, classes) by NumPy, with the same bits. Keeps what `_gradient_of_few` needs."""
        self._few_probs = softmax_of_few(np.ascontiguousarray(scores), 1)
        label = labels.ravel().astype(np.int64)
        if np.maximum.reduce(label.view(np.uint64)) >= scores.shape[1]:  # as is a negative one, without its sign
            check_labels(self, torch.from_numpy(label), scores.shape[1])
        self._few_places = label + self._starts
        self._of_label = self._few_probs.take(self._few_places)
        losses = np.negative(np.log(np.maximum(self._of_label, _TINY), dtype=np.float64).astype(np.float32))
        self._divisor = normalizer(self._mode, self._batch, len(losses), None)
        return torch.from_numpy(np.asarray(total_in_order(losses) / np.float32(self._divisor)))

    @np.errstate(all="ignore")
    def _gradient_of_few(self, top_diff: float) -> torch.Tensor:
        diff = self._few_probs.copy()
        diff.put(self._few_places, self._of_label - 1)
        diff *= np.float32(top_diff) / np.float32(self._divisor)
        return torch.from_numpy(diff)

    def _set_labels(self, bottom: list[Blob]) -> None:
        """Sets `_label`, int64, of the bottom's shape with 1 for the classes, and `_ignored`, a mask of that shape.

        `_ignored` is None without ignore_label.
        """
        label = bottom[1].value.reshape(self._label_shape).long()
        self._ignored = None
        if self._ignore_label is not None:
            self._ignored = label == self._ignore_label
            label = label.masked_fill(self._ignored, 0)
        self._label = label

    def _probability_of_label(self, classes: int) -> torch.Tensor:
        try:
            return self._prob.gather(self._axis, self._label)
        except RuntimeError:  # on a GPU, PyTorch's own assertion stops the run
            check_labels(self, self._label, classes)
            raise

    def _normalization(self) -> int:
        param = self.param.loss_param
        if param.HasField("normalize") and not param.HasField("normalization"):
            return LossParameter.VALID if param.normalize else LossParameter.BATCH_SIZE
        return param.normalization
