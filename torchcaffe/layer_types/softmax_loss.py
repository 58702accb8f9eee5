"""Losses: SoftmaxWithLoss, EuclideanLoss. Their tops are scalars, with loss_weight 1 unless given."""

from collections.abc import Callable
from math import prod

import numpy as np
import torch

from caffeformat.caffeformat_pb2 import LossParameter
from torchcaffe.common import context, log
from torchcaffe.layer_types.base import Blob, Fatal, Layer

_TINY = torch.finfo(torch.float32).tiny  # FLT_MIN: the printed loss of a sample is at most 87.3365


class _Loss(Layer):
    n_bottoms = (2, 2)
    is_loss = True

    def reshape(self, bottom: list[Blob], top: list[Blob]) -> None:
        first, second = bottom[0].shape, bottom[1].shape
        same = first[:1] == second[:1]
        self.check(same, f"The data and label should have the same first dimension: {first} and {second}")
        self.check_values(bottom[0])
        top[0].reshape()


class SoftmaxWithLoss(_Loss):
    """The mean of -log of the softmax probability of each label.

    A second top, the probabilities, is refused: BVLC Caffe has it in its code, but stops on it with either number of
    loss weights.
    """

    def layer_setup(self, bottom: list[Blob], top: list[Blob]) -> None:
        log.info("layer_factory.hpp:77", f"Creating layer {self.name}")  # Caffe makes a Softmax layer of this name

    def reshape(self, bottom: list[Blob], top: list[Blob]) -> None:
        super().reshape(bottom, top)
        self._axis = label_axis(self, self.param.softmax_param.axis, bottom)

    def allow_force_backward(self, bottom_index: int) -> bool:
        return bottom_index != 1

    def forward(self, bottom: list[Blob], top: list[Blob]) -> None:
        self._prob = _softmax(bottom[0].value, self._axis)
        self._labels(bottom)
        losses = _exactly(torch.log, self._prob.gather(self._axis, self._label).clamp_(min=_TINY)).neg_()
        if self._ignored is not None:
            losses = losses.masked_fill_(self._ignored, 0)
        top[0].value = _sum_in_order(losses) / self._normalizer()

    def backward(self, top: list[Blob], propagate_down: list[bool], bottom: list[Blob]) -> None:
        if propagate_down[1]:
            place = "softmax_loss_layer.cpp:121"
            raise Fatal(f"{self.where}: {self.type} Layer cannot backpropagate to label inputs.", place)
        if not propagate_down[0]:
            return
        minus_one = torch.full((), -1, dtype=self._prob.dtype, device=self._prob.device).expand(self._label.shape)
        diff = self._prob.scatter_add(self._axis, self._label, minus_one)
        if self._ignored is not None:
            diff.masked_fill_(self._ignored, 0)
        bottom[0].grad = diff.mul_(top[0].gradient() / self._normalizer())

    def _labels(self, bottom: list[Blob]) -> None:
        """Sets `_label`, of the shape of the probabilities with one class, and `_ignored`, a mask likewise or None."""
        shape = list(bottom[0].shape)
        classes, shape[self._axis] = shape[self._axis], 1
        label = bottom[1].value.reshape(shape).long()
        self._ignored = None
        if self.param.loss_param.HasField("ignore_label"):
            self._ignored = label == self.param.loss_param.ignore_label
            label = label.masked_fill(self._ignored, 0)
        if context.is_exact(label):  # a GPU is not waited for: its own assertion stops the run
            check_labels(self, label, classes)
        self._label = label

    def _normalizer(self) -> torch.Tensor | float:
        mode, shape = self._mode(), self._label.shape
        if mode == LossParameter.NONE:
            return 1.0
        if mode == LossParameter.BATCH_SIZE:
            return max(1.0, prod(shape[: self._axis]))
        if mode == LossParameter.FULL or self._ignored is None:
            return max(1.0, self._label.numel())
        return (~self._ignored).sum().clamp(min=1).to(self._prob.dtype)

    def _mode(self) -> int:
        param = self.param.loss_param
        if param.HasField("normalize") and not param.HasField("normalization"):
            return LossParameter.VALID if param.normalize else LossParameter.BATCH_SIZE
        return param.normalization


class EuclideanLoss(_Loss):
    """Half the mean over the batch of the squared distance of the two bottoms."""

    def reshape(self, bottom: list[Blob], top: list[Blob]) -> None:
        super().reshape(bottom, top)
        first, second = bottom[0].shape, bottom[1].shape
        self.check(prod(first[1:]) == prod(second[1:]), f"Inputs must have the same dimension: {first} and {second}")

    def forward(self, bottom: list[Blob], top: list[Blob]) -> None:
        self._difference = bottom[0].value - bottom[1].value.reshape(bottom[0].shape)
        top[0].value = self._difference.square().sum() / bottom[0].shape[0] / 2

    def backward(self, top: list[Blob], propagate_down: list[bool], bottom: list[Blob]) -> None:
        for sign, down, blob in zip((1, -1), propagate_down, bottom, strict=True):
            if down:
                diff = self._difference * (sign * top[0].gradient() / blob.shape[0])
                blob.grad = diff.reshape(blob.shape)


def label_axis(layer: Layer, axis: int, bottom: list[Blob]) -> int:
    """The axis of the classes, once the labels are as many as the predictions."""
    axis = layer.axis(axis, bottom[0])
    predictions = prod(bottom[0].shape[:axis] + bottom[0].shape[axis + 1 :])
    layer.check(
        predictions == prod(bottom[1].shape),
        f"Number of labels must match number of predictions: {prod(bottom[1].shape)} labels in "
        f"{bottom[1].shape}, {predictions} predictions in {bottom[0].shape} with the classes along axis {axis}",
    )
    return axis


def check_labels(layer: Layer, label: torch.Tensor, classes: int) -> None:
    """BVLC Caffe reads beyond its arrays here; we stop."""
    low, high = (int(end) for end in torch.aminmax(label)) if label.numel() else (0, 0)
    found = low if low < 0 else high
    layer.check(low >= 0 and high < classes, f"a label is {found}, but there are {classes} classes, 0 to {classes - 1}")


# The six digits of a printed loss are compared with Caffe's. On the CPU its exp and log are the C library's, rounded
# rightly but for rare cases, and its sum is a plain loop; PyTorch's own are off by a unit more often.


def _softmax(x: torch.Tensor, axis: int) -> torch.Tensor:
    if not context.is_exact(x):
        return torch.softmax(x, axis)
    powers = _exactly(torch.exp, x - x.amax(axis, keepdim=True))
    return powers / powers.sum(axis, keepdim=True)


def _exactly(function: Callable[[torch.Tensor], torch.Tensor], x: torch.Tensor) -> torch.Tensor:
    """`function` of float32 values, worked out in float64."""
    return function(x.double()).to(x.dtype) if context.is_exact(x) else function(x)


def _sum_in_order(losses: torch.Tensor) -> torch.Tensor:
    if not context.is_exact(losses) or losses.dtype != torch.float32:
        return losses.sum()
    return torch.tensor(np.add.accumulate(losses.numpy().ravel())[-1])
