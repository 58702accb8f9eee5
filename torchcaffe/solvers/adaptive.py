"""Solvers with a learning rate for each weight: AdaGrad, RMSProp, AdaDelta and Adam.

g is the gradient after clipping, iter_size and weight decay, as in sgd.py; rate is the learning rate times lr_mult.
The history holds means of squares and does not contain the rate. So even with lr_mult 0, weight decay changes it.
Source followed: src/caffe/solvers of BVLC Caffe.
"""

import math

import numpy as np
import torch

from caffeformat.caffeformat_pb2 import SolverParameter
from torchcaffe.nets.params import Param
from torchcaffe.solvers.sgd import SGD


class Adaptive(SGD):
    """The common part of the four. Each implements `_rule`, which changes weight and history in place."""

    history_is_update = False

    def _is_unchanged(self, each: Param, local_rate: float) -> bool:
        """Without a gradient or weight decay the history stays zero. But with delta 0 Caffe divides 0 by 0."""
        return each.blob.grad is None and not self._decay(each) and self.param.delta > 0

    def _update(
        self, each: Param, history: list[torch.Tensor], scale: float, local_rate: float, iteration: int
    ) -> None:
        self._rule(each.blob.value, self._regularized(each, scale), history, local_rate, iteration)

    def _rule(
        self, weight: torch.Tensor, g: torch.Tensor, history: list[torch.Tensor], rate: float, iteration: int
    ) -> None:
        """Updates `weight` and its `history` by the gradient `g`; `rate` includes lr_mult."""
        raise NotImplementedError


class AdaGrad(Adaptive):
    """h = h + g^2; w = w - rate * g / (sqrt(h) + delta)."""

    def __init__(self, param: SolverParameter, params: list[Param], where: str = "solver"):
        super().__init__(param, params, where)
        with_momentum = f"Momentum cannot be used with AdaGrad. Leave out momentum: {param.momentum:g}"
        self._check(param.momentum == 0, "momentum", with_momentum, "sgd_solvers.hpp:76")

    def _rule(
        self, weight: torch.Tensor, g: torch.Tensor, history: list[torch.Tensor], rate: float, iteration: int
    ) -> None:
        (h,) = history
        if _fusible(weight):
            torch._fused_adagrad_(
                [weight],
                [g],
                [h],
                [torch.ones(())],
                lr=rate,
                eps=self.param.delta,
                lr_decay=0.0,
                weight_decay=0.0,
                maximize=False,
            )
            return
        h.addcmul_(g, g)
        weight.addcdiv_(g, h.sqrt().add_(self.param.delta), value=-rate)


class RMSProp(Adaptive):
    """h = rms_decay * h + (1 - rms_decay) * g^2; w = w - rate * g / (sqrt(h) + delta)."""

    def __init__(self, param: SolverParameter, params: list[Param], where: str = "solver"):
        super().__init__(param, params, where)
        with_momentum = f"Momentum cannot be used with RMSProp. Leave out momentum: {param.momentum:g}"
        self._check(param.momentum == 0, "momentum", with_momentum, "sgd_solvers.hpp:96")
        bounds = f"rms_decay should lie between 0 and 1. It is {param.rms_decay:g}"
        self._check(param.rms_decay >= 0, "rms_decay", bounds, "sgd_solvers.hpp:98")
        self._check(param.rms_decay < 1, "rms_decay", f"{bounds}; it must be less than 1", "sgd_solvers.hpp:100")

    def _rule(
        self, weight: torch.Tensor, g: torch.Tensor, history: list[torch.Tensor], rate: float, iteration: int
    ) -> None:
        (h,) = history
        if _fusible(weight):  # the same as Adam with beta1 = 0, at an iteration so late that it corrects nothing
            _fused_adam(weight, g, g, h, rate, 0.0, self.param.rms_decay, 1e9, self.param.delta)
            return
        _average_square(h, g, self.param.rms_decay)
        weight.addcdiv_(g, h.sqrt().add_(self.param.delta), value=-rate)


class AdaDelta(Adaptive):
    """h = momentum * h + (1 - momentum) * g^2; u = g * sqrt((k + delta) / (h + delta)), with the previous k;
    k = momentum * k + (1 - momentum) * u^2; w = w - rate * u. The history is all h, then all k."""

    histories = 2

    def _rule(
        self, weight: torch.Tensor, g: torch.Tensor, history: list[torch.Tensor], rate: float, iteration: int
    ) -> None:
        h, k = history
        momentum, delta = self.param.momentum, self.param.delta
        _average_square(h, g, momentum)
        update = (k + delta).div_(h + delta).sqrt_().mul_(g)
        _average_square(k, update, momentum)
        weight.sub_(update, alpha=rate)


class Adam(Adaptive):
    """m = momentum * m + (1 - momentum) * g; v = momentum2 * v + (1 - momentum2) * g^2;
    w = w - rate * sqrt(1 - momentum2^t) / (1 - momentum^t) * m / (sqrt(v) + delta), t = 1 at iteration 0.
    The history is all m, then all v. Kingma and Ba (2015) add delta to the root of the corrected v instead."""

    histories = 2

    def _rule(
        self, weight: torch.Tensor, g: torch.Tensor, history: list[torch.Tensor], rate: float, iteration: int
    ) -> None:
        m, v = history
        momentum, momentum2, t = self.param.momentum, self.param.momentum2, iteration + 1
        if _fusible(weight, momentum, momentum2):
            delta = self.param.delta / math.sqrt(1 - momentum2**t)  # PyTorch adds delta as the paper does
            _fused_adam(weight, g, m, v, rate, momentum, momentum2, t, delta)
            return
        m.mul_(momentum).add_(g, alpha=1 - momentum)
        _average_square(v, g, momentum2)
        weight.addcdiv_(m, v.sqrt().add_(self.param.delta), value=-rate * self._correction(t))

    def scalars(self, rate: float, iteration: int) -> tuple[float, ...] | None:
        scalars = super().scalars(rate, iteration)
        return scalars and (*scalars, self._correction(iteration + 1))

    def _correction(self, t: int) -> float:
        with np.errstate(all="ignore"):  # as in C: inf or nan where the momentum is 1 or more
            first, second = (1 - np.power(beta, t) for beta in (self.param.momentum, self.param.momentum2))
            return float(np.sqrt(second) / first)


def _fusible(weight: torch.Tensor, *shares: float) -> bool:
    """Whether PyTorch's fused step can be used: the same update in one pass over memory, at least five times as fast.

    `shares` are the momenta, which PyTorch requires to be from 0 to 1.
    """
    return weight.device.type == "cpu" and all(0 <= share < 1 for share in shares)


def _fused_adam(
    weight: torch.Tensor,
    g: torch.Tensor,
    m: torch.Tensor,
    v: torch.Tensor,
    rate: float,
    beta1: float,
    beta2: float,
    t: float,
    delta: float,
) -> None:
    """w -= rate / (1 - beta1^t) * m / (sqrt(v / (1 - beta2^t)) + delta), with the new m and v. `m` may be `g`."""
    torch._fused_adam_(
        [weight],
        [g],
        [m],
        [v],
        [],
        [torch.full((), float(t))],
        lr=rate,
        beta1=beta1,
        beta2=beta2,
        eps=delta,
        weight_decay=0.0,
        amsgrad=False,
        maximize=False,
    )


def _average_square(mean: torch.Tensor, values: torch.Tensor, share: float) -> None:
    """mean = share * mean + (1 - share) * values^2."""
    mean.mul_(share).addcmul_(values, values, value=1 - share)
