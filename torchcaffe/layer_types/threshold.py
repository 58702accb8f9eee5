"""Threshold: whether a value is above a threshold.

Source followed: BVLC Caffe's threshold_layer.cpp.
"""

from torchcaffe.layer_types.base import Blob, Fatal
from torchcaffe.layer_types.neuron import NeuronLayer


class Threshold(NeuronLayer):
    """1 for a value above `threshold`, else 0. No gradient, as in Caffe: no layer with parameters may be below it."""

    def forward(self, bottom: list[Blob], top: list[Blob]) -> None:
        x = bottom[0].value
        top[0].value = (x > self.param.threshold_param.threshold).to(x.dtype)

    def backward(self, top: list[Blob], propagate_down: list[bool], bottom: list[Blob]) -> None:
        message = f"{self.where}: layer '{self.name}' (Threshold): has no gradient, and the layers below ask for one"
        raise Fatal(message, "threshold_layer.hpp:56")
