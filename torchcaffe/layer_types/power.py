"""Powers, exponentials and logarithms, element by element, also in place: Power, Exp, Log.

Source followed: BVLC Caffe's layers of these names. As in Caffe, Power's gradient divides by its input and is nan at 0.
In place, Caffe's Power and Log write over the gradient before they have read it, and multiply their slope by itself; a
gradient is refused there.
"""

import math

import numpy as np
import torch

from torchcaffe.layer_types.base import Blob, Layer
from torchcaffe.layer_types.neuron import _Neuron


class Power(_Neuron):
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
        _check_apart(self, bottom, top)
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


class Exp(_Neuron):
    """base^(shift + scale * x); base -1, the default, stands for e."""

    def layer_setup(self, bottom: list[Blob], top: list[Blob]) -> None:
        param = self.param.exp_param
        log_base = _log_base(self, param.base)
        self._inner = log_base * param.scale
        with np.errstate(over="ignore"):  # as in C, what overflows is inf
            self._outer = float(np.exp(log_base * param.shift))

    def forward(self, bottom: list[Blob], top: list[Blob]) -> None:
        top[0].value = (bottom[0].value * self._inner).exp_().mul_(self._outer)

    def backward(self, top: list[Blob], propagate_down: list[bool], bottom: list[Blob]) -> None:
        if propagate_down[0]:
            bottom[0].grad = (top[0].value * top[0].gradient()).mul_(self._inner)


class Log(_Neuron):
    """The logarithm of shift + scale * x to a base; base -1, the default, stands for e."""

    def layer_setup(self, bottom: list[Blob], top: list[Blob]) -> None:
        self._log_base = _log_base(self, self.param.log_param.base)
        self.check(self._log_base != 0, "Inf result: 1/log(base) = 1/log(1); base: 1 has no logarithms")

    def forward(self, bottom: list[Blob], top: list[Blob]) -> None:
        top[0].value = self._inner(bottom[0].value).log_().div_(self._log_base)

    def backward(self, top: list[Blob], propagate_down: list[bool], bottom: list[Blob]) -> None:
        if propagate_down[0]:
            _check_apart(self, bottom, top)
            slope = self.param.log_param.scale / self._log_base
            bottom[0].grad = self._inner(bottom[0].value).reciprocal_().mul_(slope).mul_(top[0].gradient())

    def _inner(self, x: torch.Tensor) -> torch.Tensor:
        return (x * self.param.log_param.scale).add_(self.param.log_param.shift)


def _check_apart(layer: Layer, bottom: list[Blob], top: list[Blob]) -> None:
    apart = top[0] is not bottom[0]
    layer.check(apart, "has no gradient in place, where BVLC Caffe's is wrong; give its top a name of its own")


def _log_base(layer: Layer, base: float) -> float:
    if base == -1:
        return 1.0
    layer.check(base > 0 and math.isfinite(base), f"base must be strictly positive, or -1 for e; found {base}")
    return math.log(base)
