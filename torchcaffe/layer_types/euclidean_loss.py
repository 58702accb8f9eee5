"""EuclideanLoss: half the mean over the batch of the squared distance of two bottoms.

Source followed: BVLC Caffe's euclidean_loss_layer.cpp.
"""

from math import prod

from torchcaffe.layer_types.base import Blob
from torchcaffe.layer_types.loss import LossLayer


class EuclideanLoss(LossLayer):
    """Sum of (a - b)^2 / (2 N), for bottoms a and b of N images each. Both bottoms can have a gradient."""

    def reshape(self, bottom: list[Blob], top: list[Blob]) -> None:
        super().reshape(bottom, top)
        first, second = bottom[0].shape, bottom[1].shape
        self.check(prod(first[1:]) == prod(second[1:]), f"Inputs must have the same dimension: {first} and {second}")

    def allow_force_backward(self, bottom_index: int) -> bool:
        return True

    def forward(self, bottom: list[Blob], top: list[Blob]) -> None:
        self._difference = bottom[0].value - bottom[1].value.reshape(bottom[0].shape)
        top[0].value = self._difference.square().sum() / bottom[0].shape[0] / 2

    def backward(self, top: list[Blob], propagate_down: list[bool], bottom: list[Blob]) -> None:
        for sign, down, blob in zip((1, -1), propagate_down, bottom, strict=True):
            if down:
                diff = self._difference * (sign * top[0].gradient() / blob.shape[0])
                blob.grad = diff.reshape(blob.shape)
