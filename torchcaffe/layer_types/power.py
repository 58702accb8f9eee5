"""Power: (shift + scale * x)^power.

Source followed: BVLC Caffe's power_layer.cpp. As in Caffe, the gradient divides by the input and is nan at 0. In place,
a gradient is refused: Caffe overwrites the top's gradient before it reads it, and multiplies the slope by itself.
"""

import torch

from torchcaffe.layer_types.base import Blob
from torchcaffe.layer_types.neuron import NeuronLayer


class Power(NeuronLayer):
    """(shift + scale * x)^power."""

    def layer_setup(self, bottom: list[Blob], top: list[Blob]) -> None:
        param = self.param.power_param
        self._power, self._scale, self._shift = param.power, param.scale, param.shift
        self._slope = param.power * param.scale

    def forward(self, bottom: list[Blob], top: list[Blob]) -> None:
        x = bottom[0].value
        if self._slope == 0:
            base = torch.full_like(x, self._shift)
            top[0].value = base.pow(self._power)  # 0^0 is 1
            return
        y = self._inner(x)
        top[0].value = y if self._power == 1 else y.pow_(self._power)

    def backward(self, top: list[Blob], propagate_down: list[bool], bottom: list[Blob]) -> None:
        if not propagate_down[0]:
            return
        self.check_gradient_not_in_place(bottom, top)
        diff, x = top[0].gradient(), bottom[0].value
        if self._slope == 0 or self._power == 1:
            bottom[0].grad = diff * self._slope
        elif self._power == 2:
            bottom[0].grad = self._inner(x).mul_(self._slope).mul_(diff)
        elif self._shift == 0:
            bottom[0].grad = (top[0].value / x).mul_(self._power).mul_(diff)
        else:
            bottom[0].grad = (top[0].value / self._inner(x)).mul_(self._slope).mul_(diff)

    def _inner(self, x: torch.Tensor) -> torch.Tensor:
        return (x * self._scale).add_(self._shift)
