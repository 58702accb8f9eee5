"""ContrastiveLoss: pairs that are alike shall be near each other, others at least a margin apart.

Source followed: BVLC Caffe's contrastive_loss_layer.cpp.
"""

from math import prod

import torch

from torchcaffe.layer_types.base import Blob
from torchcaffe.layer_types.loss import LossLayer, sum_in_order


class ContrastiveLoss(LossLayer):
    """Half the mean over pairs of d^2 for a pair that is alike, and of max(margin - d, 0)^2 for another one.

    d is the distance of the vectors of a pair, row i of the first and of the second bottom, (N, C) or (N, C, 1, 1). The
    third bottom, (N,), says whether they are alike: not 0. With legacy_version, max(margin - d^2, 0) counts in place of
    the square. Both vectors have a gradient; as in Caffe, d + 1e-4 is its divisor.
    """

    n_bottoms = (3, 3)

    def layer_setup(self, bottom: list[Blob], top: list[Blob]) -> None:
        self._margin = self.param.contrastive_loss_param.margin

    def reshape(self, bottom: list[Blob], top: list[Blob]) -> None:
        super().reshape(bottom, top)
        first, second, alike = (blob.shape for blob in bottom)
        for blob in bottom[:2]:
            fits = len(blob.shape) <= 4 and prod(blob.shape[2:]) == 1
            self.check(fits, f"height and width must be 1, (N, C) or (N, C, 1, 1); '{blob.name}' is {blob.shape}")
        channels = [prod(shape[1:]) for shape in (first, second)]
        self.check(channels[0] == channels[1], f"vectors of different lengths: {first} and {second}")
        self.check(
            len(alike) <= 4 and prod(alike[1:]) == 1, f"one value a pair says whether it is alike; found {alike}"
        )
        self.check(alike[0] >= first[0], f"{first[0]} pairs, but {alike[0]} values in '{bottom[2].name}'")

    def allow_force_backward(self, bottom_index: int) -> bool:
        return bottom_index != 2

    def forward(self, bottom: list[Blob], top: list[Blob]) -> None:
        pairs = bottom[0].shape[0]
        self._difference = bottom[0].value.reshape(pairs, -1) - bottom[1].value.reshape(pairs, -1)
        self._alike = bottom[2].value.reshape(-1)[:pairs].trunc() != 0
        self._square = self._difference.square().sum(1)
        if self.param.contrastive_loss_param.legacy_version:
            apart = (self._margin - self._square).clamp_(min=0)
        else:
            apart = (self._margin - self._square.sqrt()).clamp_(min=0).square_()
        top[0].value = sum_in_order(torch.where(self._alike, self._square, apart)) / pairs / 2

    def backward(self, top: list[Blob], propagate_down: list[bool], bottom: list[Blob]) -> None:
        if self.param.contrastive_loss_param.legacy_version:
            push = (self._square < self._margin).to(self._square.dtype)
        else:
            distance = self._square.sqrt()
            push = (self._margin - distance).clamp_(min=0) / (distance + 1e-4)
        slope = torch.where(self._alike, torch.ones_like(push), -push)[:, None] * self._difference
        for sign, down, blob in zip((1, -1), propagate_down, bottom, strict=False):
            if down:
                blob.grad = (slope * (sign * top[0].gradient() / blob.shape[0])).reshape(blob.shape)
