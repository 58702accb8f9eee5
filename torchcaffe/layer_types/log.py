"""Log: a logarithm of each value.

Source followed: BVLC Caffe's log_layer.cpp. In place, a gradient is refused: Caffe overwrites the top's gradient before
it reads it, and multiplies the slope by itself.
"""

import torch

from torchcaffe.layer_types.base import Blob
from torchcaffe.layer_types.exp import log_of_base
from torchcaffe.layer_types.neuron import NeuronLayer


class Log(NeuronLayer):
    """The logarithm of shift + scale * x to a base; base -1, the default, stands for e."""

    def layer_setup(self, bottom: list[Blob], top: list[Blob]) -> None:
        self._log_base = log_of_base(self, self.param.log_param.base)
        self.check(self._log_base != 0, "Inf result: 1/log(base) = 1/log(1); base: 1 has no logarithms")

    def forward(self, bottom: list[Blob], top: list[Blob]) -> None:
        top[0].value = self._inner(bottom[0].value).log_().div_(self._log_base)

    def backward(self, top: list[Blob], propagate_down: list[bool], bottom: list[Blob]) -> None:
        if propagate_down[0]:
            self.check_gradient_not_in_place(bottom, top)
            slope = self.param.log_param.scale / self._log_base
            bottom[0].grad = self._inner(bottom[0].value).reciprocal_().mul_(slope).mul_(top[0].gradient())

    def _inner(self, x: torch.Tensor) -> torch.Tensor:
        return (x * self.param.log_param.scale).add_(self.param.log_param.shift)
