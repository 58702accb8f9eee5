"""Sigmoid: 1 / (1 + e^-x).

Source followed: BVLC Caffe's sigmoid_layer.cpp.
"""

import torch

from torchcaffe.layer_types.base import Blob
from torchcaffe.layer_types.neuron import NeuronLayer


class Sigmoid(NeuronLayer):
    def forward(self, bottom: list[Blob], top: list[Blob]) -> None:
        top[0].value = torch.sigmoid(bottom[0].value)

    def backward(self, top: list[Blob], propagate_down: list[bool], bottom: list[Blob]) -> None:
        if propagate_down[0]:
            bottom[0].grad = torch.ops.aten.sigmoid_backward(top[0].gradient(), top[0].value)
