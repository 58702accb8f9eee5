"""ELU: the exponential linear unit.

Source followed: BVLC Caffe's elu_layer.cpp.
"""

import torch
from torch.nn import functional

from torchcaffe.layer_types.base import Blob
from torchcaffe.layer_types.neuron import NeuronLayer


class ELU(NeuronLayer):
    """x above 0, else alpha * (e^x - 1)."""

    def forward(self, bottom: list[Blob], top: list[Blob]) -> None:
        top[0].value = functional.elu(bottom[0].value, self.param.elu_param.alpha)

    def backward(self, top: list[Blob], propagate_down: list[bool], bottom: list[Blob]) -> None:
        if propagate_down[0]:
            diff = top[0].gradient()
            below = diff * (top[0].value + self.param.elu_param.alpha)
            bottom[0].grad = torch.where(bottom[0].value > 0, diff, below)
