"""AbsVal: the absolute value.

Source followed: BVLC Caffe's absval_layer.cpp.
"""

from torchcaffe.layer_types.base import Blob
from torchcaffe.layer_types.neuron import NeuronLayer


class AbsVal(NeuronLayer):
    """|x|; the gradient at 0 is 0."""

    def layer_setup(self, bottom: list[Blob], top: list[Blob]) -> None:
        self.check_not_in_place(bottom, top)

    def forward(self, bottom: list[Blob], top: list[Blob]) -> None:
        top[0].value = bottom[0].value.abs()

    def backward(self, top: list[Blob], propagate_down: list[bool], bottom: list[Blob]) -> None:
        if propagate_down[0]:
            bottom[0].grad = top[0].gradient() * bottom[0].value.sign()
