"""Clip: values cut off at a minimum and a maximum.

Source followed: BVLC Caffe's clip_layer.cpp. In place, a gradient is refused: Caffe asks the values that it has cut off
whether they were, and lets every gradient through.
"""

from torchcaffe.layer_types.base import Blob
from torchcaffe.layer_types.neuron import NeuronLayer


class Clip(NeuronLayer):
    """The value, at least `min` and at most `max`. The gradient is 0 where a value was cut off."""

    def layer_setup(self, bottom: list[Blob], top: list[Blob]) -> None:
        self.check(self.param.HasField("clip_param"), "clip_param { min: ... max: ... } is not given")
        self._min, self._max = self.param.clip_param.min, self.param.clip_param.max

    def forward(self, bottom: list[Blob], top: list[Blob]) -> None:
        top[0].value = bottom[0].value.clamp(max=self._max).clamp_(min=self._min)

    def backward(self, top: list[Blob], propagate_down: list[bool], bottom: list[Blob]) -> None:
        if not propagate_down[0]:
            return
        self.check_gradient_not_in_place(bottom, top)
        x = bottom[0].value
        bottom[0].grad = top[0].gradient() * ((x >= self._min) & (x <= self._max))
