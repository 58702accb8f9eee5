"""Swish: x / (1 + e^(-beta x)).

Source followed: BVLC Caffe's swish_layer.cpp.
"""

import torch

from torchcaffe.layer_types.base import Blob
from torchcaffe.layer_types.neuron import NeuronLayer
from torchcaffe.layer_types.sigmoid import sigmoid


class Swish(NeuronLayer):
    """The value times the sigmoid of `beta` times the value."""

    saved_for_backward = ("_sigmoid",)
    _sigmoid: torch.Tensor

    def forward(self, bottom: list[Blob], top: list[Blob]) -> None:
        x = bottom[0].value
        self._sigmoid = sigmoid(x * self.param.swish_param.beta)
        top[0].value = x * self._sigmoid

    def backward(self, top: list[Blob], propagate_down: list[bool], bottom: list[Blob]) -> None:
        if propagate_down[0]:
            scaled = top[0].value * self.param.swish_param.beta
            bottom[0].grad = (self._sigmoid * (1 - scaled)).add_(scaled).mul_(top[0].gradient())
