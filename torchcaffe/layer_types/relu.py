"""ReLU: cuts negative values to 0, or scales them by negative_slope.

Source followed: BVLC Caffe's relu_layer.cpp. In place, the gradient sees the outputs, whose signs are those of the
inputs unless negative_slope is below 0.
"""

import torch
from torch.nn import functional

from torchcaffe.layer_types.base import Blob
from torchcaffe.layer_types.neuron import NeuronLayer


class ReLU(NeuronLayer):
    """max(x, 0) + negative_slope * min(x, 0)."""

    def layer_setup(self, bottom: list[Blob], top: list[Blob]) -> None:
        self._slope = self.param.relu_param.negative_slope

    def forward(self, bottom: list[Blob], top: list[Blob]) -> None:
        x, in_place = bottom[0].value, top[0] is bottom[0]
        if self._slope:
            top[0].value = functional.leaky_relu(x, self._slope, inplace=in_place)
        elif in_place:
            top[0].value = torch.relu_(x)
        else:
            top[0].value = torch.relu(x)

    def backward(self, top: list[Blob], propagate_down: list[bool], bottom: list[Blob]) -> None:
        if not propagate_down[0]:
            return
        top_diff, x = top[0].gradient(), bottom[0].value
        if self._slope:
            bottom[0].grad = torch.ops.aten.leaky_relu_backward(top_diff, x, self._slope, False)
        else:
            bottom[0].grad = torch.ops.aten.threshold_backward(top_diff, x, 0)
