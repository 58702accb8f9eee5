"""Exp: an exponential of each value, base^(shift + scale * x).

Source followed: BVLC Caffe's exp_layer.cpp.
"""

import math

import numpy as np

from torchcaffe.layer_types.base import Blob, Layer
from torchcaffe.layer_types.neuron import NeuronLayer


class Exp(NeuronLayer):
    """base^(shift + scale * x); base -1, the default, stands for e."""

    def layer_setup(self, bottom: list[Blob], top: list[Blob]) -> None:
        param = self.param.exp_param
        log_base = log_of_base(self, param.base)
        self._inner = log_base * param.scale
        with np.errstate(over="ignore"):  # inf, as in C
            self._outer = float(np.exp(log_base * param.shift))

    def forward(self, bottom: list[Blob], top: list[Blob]) -> None:
        top[0].value = (bottom[0].value * self._inner).exp_().mul_(self._outer)

    def backward(self, top: list[Blob], propagate_down: list[bool], bottom: list[Blob]) -> None:
        if propagate_down[0]:
            bottom[0].grad = (top[0].value * top[0].gradient()).mul_(self._inner)


def log_of_base(layer: Layer, base: float) -> float:
    """The natural logarithm of the `base` of an Exp or Log layer; -1, the default, stands for e.

    Raises Fatal for a base that has none.
    """
    if base == -1:
        return 1.0
    layer.check(base > 0 and math.isfinite(base), f"base must be strictly positive, or -1 for e; found {base}")
    return math.log(base)
