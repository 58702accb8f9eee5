"""BNLL: the binomial normal log likelihood, log(1 + e^x).

Source followed: BVLC Caffe's bnll_layer.cpp.
"""

import torch
from torch.nn import functional

from torchcaffe.layer_types.base import Blob
from torchcaffe.layer_types.neuron import NeuronLayer


class BNLL(NeuronLayer):
    """log(1 + e^x)."""

    def forward(self, bottom: list[Blob], top: list[Blob]) -> None:
        top[0].value = functional.softplus(bottom[0].value)

    def backward(self, top: list[Blob], propagate_down: list[bool], bottom: list[Blob]) -> None:
        if propagate_down[0]:
            bottom[0].grad = top[0].gradient() * torch.sigmoid(bottom[0].value)
