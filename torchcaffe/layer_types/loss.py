"""LossLayer, the base class of losses, and how losses and Accuracy read labels.

Source followed: BVLC Caffe's loss_layer.cpp.
"""

from collections.abc import Callable
from math import prod

import numpy as np
import torch

from caffeformat.caffeformat_pb2 import LossParameter
from torchcaffe.common import context
from torchcaffe.layer_types.base import Blob, Fatal, Layer

_FEW = 1 << 10  # values up to which NumPy is faster than PyTorch


class LossLayer(Layer):
    """Bottoms: predictions and labels. Top: one number, no axes. The loss_weight is 1 unless the prototxt sets it."""

    n_bottoms = (2, 2)
    is_loss = True

    def reshape(self, bottom: list[Blob], top: list[Blob]) -> None:
        first, second = bottom[0].shape, bottom[1].shape
        same = first[:1] == second[:1]
        self.check(first and same, f"The data and label should have the same first dimension: {first} and {second}")
        self.check_not_empty(bottom[0])
        top[0].reshape()

    def allow_force_backward(self, bottom_index: int) -> bool:
        return bottom_index != 1

    def check_no_label_gradient(self, propagate_down: list[bool], place: str) -> None:
        """Raises Fatal if the gradient of the labels is wanted; `place` is the file:line of Caffe's check."""
        if propagate_down[1]:
            message = f"{self.where}: layer '{self.name}': {self.type} Layer cannot backpropagate to label inputs."
            raise Fatal(message, place)


def normalizer(mode: int, batch: int, count: int, ignored: torch.Tensor | None) -> torch.Tensor | float:
    """The divisor of the sum of `count` losses, at least 1. `mode` is a LossParameter.NormalizationMode.

    `batch` is the divisor of BATCH_SIZE. `ignored` is a mask of the losses, None if no label is ignored.
    """
    if mode == LossParameter.NONE:
        return 1.0
    if mode == LossParameter.BATCH_SIZE:
        return max(1.0, batch)
    if mode == LossParameter.FULL or ignored is None:
        return max(1.0, count)
    return (~ignored).sum().clamp(min=1)


def label_axis(layer: Layer, axis: int, bottom: list[Blob]) -> int:
    """The index of the axis of the classes. Raises Fatal unless there are as many labels as predictions."""
    axis = layer.axis(axis, bottom[0])
    predictions = prod(bottom[0].shape[:axis] + bottom[0].shape[axis + 1 :])
    layer.check(
        predictions == prod(bottom[1].shape),
        f"Number of labels must match number of predictions: {prod(bottom[1].shape)} labels in "
        f"{bottom[1].shape}, {predictions} predictions in {bottom[0].shape} with the classes along axis {axis}",
    )
    return axis


def check_labels(layer: Layer, label: torch.Tensor, classes: int) -> None:
    """Raises Fatal for a label outside 0 to `classes` - 1, for which BVLC Caffe reads beyond its arrays."""
    low, high = (int(end) for end in torch.aminmax(label)) if label.numel() else (0, 0)
    wrong = low if low < 0 else high
    layer.check(low >= 0 and high < classes, f"a label is {wrong}, but there are {classes} classes, 0 to {classes - 1}")


# Tests compare the six digits of a printed loss with Caffe's. On the CPU, Caffe uses the C library's exp and log, which
# round correctly except in rare cases, and sums in a plain loop. PyTorch's functions differ more often in the last
# digit.


def correctly_rounded(function: Callable[[torch.Tensor], torch.Tensor], x: torch.Tensor) -> torch.Tensor:
    """`function` of float32 values: on the CPU computed in float64, then rounded. It may work in place: exp_."""
    return function(x.double()).to(x.dtype) if context.is_exact(x) else function(x)


@np.errstate(all="ignore")
def sum_in_order(losses: torch.Tensor) -> torch.Tensor:
    """The sum. Float32 values on the CPU are added one by one, in Caffe's order."""
    if not context.is_exact(losses) or losses.dtype != torch.float32:
        return losses.sum()
    return torch.from_numpy(np.asarray(total_in_order(losses.numpy().ravel())))


def total_in_order(losses: np.ndarray) -> np.float32:
    """The sum of an array (N,), as `sum_in_order`. Callers switch NumPy's warnings off."""
    return np.add.accumulate(losses)[-1] + np.float32(0)  # a sum of -0 is 0 in Caffe


def softmax(x: torch.Tensor, axis: int) -> torch.Tensor:
    """The softmax along `axis`. On the CPU a nan has no sign: the loss of a net that diverges is logged as -nan, as in
    Caffe."""
    if not context.is_exact(x):
        return torch.softmax(x, axis)
    if x.numel() <= _FEW:
        with np.errstate(all="ignore"):
            return torch.from_numpy(softmax_of_few(x.numpy(), axis))
    powers = correctly_rounded(torch.exp_, x - x.amax(axis, keepdim=True))
    return powers.div_(powers.sum(axis, keepdim=True)).abs_()


def are_few(x: torch.Tensor) -> bool:
    """Whether NumPy is faster for a loss of the float32 values `x`: its calls take a third of the time of PyTorch's."""
    return x.numel() <= _FEW and x.dtype == torch.float32 and context.is_exact(x)


def softmax_of_few(x: np.ndarray, axis: int) -> np.ndarray:
    """The softmax of an array along `axis`, as `softmax`, by NumPy. Callers switch its warnings off."""
    below = x - np.maximum.reduce(x, axis, keepdims=True)
    powers = np.exp(below, dtype=np.float64).astype(x.dtype)
    powers /= np.add.reduce(powers, axis, keepdims=True)
    return np.abs(powers, out=powers)
