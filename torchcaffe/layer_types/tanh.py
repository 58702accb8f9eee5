"""TanH: the hyperbolic tangent.

Source followed: BVLC Caffe's tanh_layer.cpp.
"""

import torch

from torchcaffe.layer_types.base import Blob
from torchcaffe.layer_types.loss import correctly_rounded
from torchcaffe.layer_types.neuron import NeuronLayer


class TanH(NeuronLayer):
    def forward(self, bottom: list[Blob], top: list[Blob]) -> None:
        top[0].value = correctly_rounded(torch.tanh, bottom[0].value)  # near 1 the last digit decides

    def backward(self, top: list[Blob], propagate_down: list[bool], bottom: list[Blob]) -> None:
        if propagate_down[0]:
            bottom[0].grad = torch.ops.aten.tanh_backward(top[0].gradient(), top[0].value)
