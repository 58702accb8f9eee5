"""Solvers with a rate for each weight: AdaGrad, RMSProp, AdaDelta and Adam, as BVLC Caffe's src/caffe/solvers has them.

g is the gradient after clipping, iter_size and weight decay, as in sgd.py; rate is the learning rate times lr_mult.
The history holds means of squares, without the rate: a layer that does not learn (lr_mult 0) collects in it what its
weight decay gives.
"""

import math

import numpy as np
import torch

from caffeformat.caffeformat_pb2 import SolverParameter
from torchcaffe.common.log import check
from torchcaffe.nets.params import Param
from torchcaffe.solvers.sgd import SGD


class Adaptive(SGD):
    """What the four share. Each has its `_rule`, which changes weight and history in place."""

    def _stays(self, each: Param, local_rate: float) -> bool:
        """Without a gradient there is nothing to collect. (With delta 0 Caffe divides 0 by 0.)"""
        return each.blob.grad is None and not self._decay(each) and self.param.delta > 0

    def _update(
        self, each: Param, history: list[torch.Tensor], scale: float, local_rate: float, iteration: int
    ) -> None:
        self._rule(each.blob.value, self._regularized(each, scale), history, local_rate, iteration)

    def _rule(
        self, weight: torch.Tensor, g: torch.Tensor, history: list[torch.Tensor], rate: float, iteration: int
    ) -> None:
        raise NotImplementedError


class AdaGrad(Adaptive):
    """h = h + g^2; w = w - rate * g / (sqrt(h) + delta)."""

    def __init__(self, param: SolverParameter, params: list[Param]):
        super().__init__(param, params)
        check(param.momentum == 0, f"Momentum cannot be used with AdaGrad.{_without(param)}", "sgd_solvers.hpp:76")

    def _rule(self, weight, g, history, rate, iteration) -> None:
        (h,) = history
        if _fusible(weight):
            fixed = {"lr_decay": 0.0, "weight_decay": 0.0, "maximize": False}
            torch._fused_adagrad_([weight], [g], [h], [torch.ones(())], lr=rate, eps=self.param.delta, **fixed)
            return
        h.addcmul_(g, g)
        weight.addcdiv_(g, h.sqrt().add_(self.param.delta), value=-rate)


class RMSProp(Adaptive):
    """h = rms_decay * h + (1 - rms_decay) * g^2; w = w - rate * g / (sqrt(h) + delta)."""

    def __init__(self, param: SolverParameter, params: list[Param]):
        super().__init__(param, params)
        check(param.momentum == 0, f"Momentum cannot be used with RMSProp.{_without(param)}", "sgd_solvers.hpp:96")
        bounds = f"rms_decay should lie between 0 and 1. Found {param.rms_decay:g}"
        check(param.rms_decay >= 0, bounds, "sgd_solvers.hpp:98")
        check(param.rms_decay < 1, f"{bounds}; 1 itself is too much", "sgd_solvers.hpp:100")

    def _rule(self, weight, g, history, rate, iteration) -> None:
        (h,) = history
        if _fusible(weight):  # it is Adam without a mean of gradients, late enough for no correction
            _fused_adam(weight, g, g, h, rate, 0.0, self.param.rms_decay, 1e9, self.param.delta)
            return
        _average_square(h, g, self.param.rms_decay)
        weight.addcdiv_(g, h.sqrt().add_(self.param.delta), value=-rate)


class AdaDelta(Adaptive):
    """h = momentum * h + (1 - momentum) * g^2; u = g * sqrt((k + delta) / (h + delta)), with the k before;
    k = momentum * k + (1 - momentum) * u^2; w = w - rate * u. The history is all h, then all k."""

    histories = 2

    def _rule(self, weight, g, history, rate, iteration) -> None:
        h, k = history
        momentum, delta = self.param.momentum, self.param.delta
        _average_square(h, g, momentum)
        update = (k + delta).div_(h + delta).sqrt_().mul_(g)
        _average_square(k, update, momentum)
        weight.sub_(update, alpha=rate)


class Adam(Adaptive):
    """m = momentum * m + (1 - momentum) * g; v = momentum2 * v + (1 - momentum2) * g^2;
    w = w - rate * sqrt(1 - momentum2^t) / (1 - momentum^t) * m / (sqrt(v) + delta), t = 1 at iteration 0.
    The history is all m, then all v. The paper has delta beside the corrected v."""

    histories = 2

    def _rule(self, weight, g, history, rate, iteration) -> None:
        m, v = history
        momentum, momentum2, t = self.param.momentum, self.param.momentum2, iteration + 1
        if _fusible(weight, momentum, momentum2):
            beside = self.param.delta / math.sqrt(1 - momentum2**t)  # PyTorch's delta is the paper's
            _fused_adam(weight, g, m, v, rate, momentum, momentum2, t, beside)
            return
        m.mul_(momentum).add_(g, alpha=1 - momentum)
        _average_square(v, g, momentum2)
        weight.addcdiv_(m, v.sqrt().add_(self.param.delta), value=-rate * self._correction(t))

    def scalars(self, rate: float, iteration: int) -> tuple | None:
        known = super().scalars(rate, iteration)
        return known and (*known, self._correction(iteration + 1))

    def _correction(self, t: int) -> float:
        with np.errstate(all="ignore"):  # as in C: inf or nan where the momentum is 1 or more
            first, second = (1 - np.power(beta, t) for beta in (self.param.momentum, self.param.momentum2))
            return float(np.sqrt(second) / first)


def _fusible(weight: torch.Tensor, *shares: float) -> bool:
    """Whether one of PyTorch's own steps does the same in one pass over memory, in a fifth of the time or less."""
    return weight.device.type == "cpu" and all(0 <= share < 1 for share in shares)


def _fused_adam(weight, g, m, v, rate, beta1: float, beta2: float, t: float, delta: float) -> None:
    """w -= rate / (1 - beta1^t) * m / (sqrt(v / (1 - beta2^t)) + delta), with the new m and v. `m` may be `g`."""
    fixed = {"weight_decay": 0.0, "amsgrad": False, "maximize": False}
    steps = [torch.full((), float(t))]
    torch._fused_adam_([weight], [g], [m], [v], [], steps, lr=rate, beta1=beta1, beta2=beta2, eps=delta, **fixed)


def _average_square(mean: torch.Tensor, values: torch.Tensor, share: float) -> None:
    """mean = share * mean + (1 - share) * values^2."""
    mean.mul_(share).addcmul_(values, values, value=1 - share)


def _without(param: SolverParameter) -> str:
    return f" Leave out momentum: {param.momentum:g}"
