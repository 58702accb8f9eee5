"""Sigmoid: 1 / (1 + e^-x).

Source followed: BVLC Caffe's sigmoid_layer.cpp.
"""

import torch

from torchcaffe.common import context
from torchcaffe.layer_types.base import Blob
from torchcaffe.layer_types.neuron import NeuronLayer
from torchcaffe.layer_types.tanh import tanh_


def sigmoid(x: torch.Tensor) -> torch.Tensor:
    """1 / (1 + e^-x); on the CPU by Caffe's formula, computed in float64 as Caffe does.

    Near 1 the last digit of a float32 decides the gradient: with another one, 1 - y is twice as large, or 0. An
    adaptive solver makes a whole step of it.
    """
    if not context.is_exact(x):
        return torch.sigmoid(x)
    return tanh_(x.double() * 0.5).mul_(0.5).add_(0.5).to(x.dtype)


class Sigmoid(NeuronLayer):
    def forward(self, bottom: list[Blob], top: list[Blob]) -> None:
        top[0].value = sigmoid(bottom[0].value)

    def backward(self, top: list[Blob], propagate_down: list[bool], bottom: list[Blob]) -> None:
        if propagate_down[0]:
            bottom[0].grad = torch.ops.aten.sigmoid_backward(top[0].gradient(), top[0].value)
