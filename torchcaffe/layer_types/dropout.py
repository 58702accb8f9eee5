"""Dropout: in the train phase sets random values to 0.

Source followed: BVLC Caffe's dropout_layer.cpp.
"""

import torch

from caffeformat.caffeformat_pb2 import TRAIN
from torchcaffe.common import context
from torchcaffe.layer_types.base import Blob
from torchcaffe.layer_types.neuron import NeuronLayer


class Dropout(NeuronLayer):
    """In the train phase keeps each value with probability 1 - dropout_ratio, and divides it by that probability.

    On the CPU the mask is BVLC Caffe's own, value by value; a GPU uses its own random numbers.
    """

    saved_for_backward = ("_mask",)
    _mask: torch.Tensor

    def layer_setup(self, bottom: list[Blob], top: list[Blob]) -> None:
        self.ratio = self.param.dropout_param.dropout_ratio
        self.check(0 <= self.ratio < 1, f"dropout_ratio {self.ratio}; it lies between 0 and 1")

    def forward(self, bottom: list[Blob], top: list[Blob]) -> None:
        x = bottom[0].value
        if self.phase != TRAIN:
            top[0].value = x if top[0] is bottom[0] else x.clone()
            return
        self._mask = self._random_mask(x).mul_(1 / (1 - self.ratio))
        top[0].value = torch.mul(x, self._mask, out=x if top[0] is bottom[0] else None)

    def backward(self, top: list[Blob], propagate_down: list[bool], bottom: list[Blob]) -> None:
        if propagate_down[0]:
            diff = top[0].gradient()
            bottom[0].grad = diff if self.phase != TRAIN else diff * self._mask

    def _random_mask(self, x: torch.Tensor) -> torch.Tensor:
        """1 where a value is kept, else 0."""
        keep = 1 - self.ratio
        if not context.is_exact(x):
            return torch.empty_like(x).bernoulli_(keep)
        mask = torch.from_numpy(self.context.rng.bernoulli(x.numel(), keep)).reshape(x.shape)
        return mask.to(x.dtype)
