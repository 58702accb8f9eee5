"""Stochastic gradient descent with momentum, as BVLC Caffe's sgd_solver.cpp and nesterov_solver.cpp have it.

    g = g / iter_size + weight_decay * decay_mult * w        after clipping, which comes first
    h = momentum * h + rate * lr_mult * g
    w = w - h                                                Nesterov: w - (1 + momentum) * h + momentum * (h before)

The history holds the rate. The other solvers change the last two lines only, so that they derive from SGD.
"""

import numpy as np
import torch

from caffeformat.caffeformat_pb2 import SolverParameter
from torchcaffe.common import log
from torchcaffe.common.blob import Blob
from torchcaffe.common.log import check, number
from torchcaffe.nets.params import Param


class SGD:
    """The update rule for the learnable `params`.

    `history` is a tensor a parameter, in their order; for solvers that keep two, the second ones follow after all the
    first ones.
    """

    histories = 1  # tensors a parameter

    def __init__(self, param: SolverParameter, params: list[Param]):
        self.param = param
        self.params = params
        self.current_step = 0
        self.history = [torch.zeros_like(each.blob.value) for each in params * self.histories]
        self._at_rest = [True] * len(params)  # the history is 0 throughout
        known = param.regularization_type in ("L1", "L2")
        check(known, f"Unknown regularization type: {param.regularization_type}; L1 or L2", "sgd_solver.cpp:181")

    def learning_rate(self, iteration: int) -> float:
        """The rate at `iteration`, a float32. Notes the step that it is at. Raises Fatal."""
        p, policy = self.param, self.param.lr_policy
        if policy not in ("fixed", "poly"):
            check(
                p.gamma >= 0, f"lr_policy {policy} needs a gamma of 0 or more; found {p.gamma:g}", "sgd_solver.cpp:39"
            )
        if policy in ("step", "sigmoid"):
            check(p.stepsize > 0, f"lr_policy {policy} needs stepsize: 1 or more", "sgd_solver.cpp:33")
        if policy == "step":
            self.current_step = iteration // p.stepsize
        elif policy == "multistep":  # noqa: SIM102
            if self.current_step < len(p.stepvalue) and iteration >= p.stepvalue[self.current_step]:
                self.current_step += 1
                reached = f"MultiStep Status: Iteration {iteration}, step = {self.current_step}"
                log.info("sgd_solver.cpp:50", reached)
        factors = {
            "fixed": lambda: 1.0,
            "step": lambda: np.power(p.gamma, self.current_step),
            "exp": lambda: np.power(p.gamma, iteration),
            "inv": lambda: np.power(1 + p.gamma * iteration, -p.power),
            "multistep": lambda: np.power(p.gamma, self.current_step),
            "poly": lambda: np.power(1 - iteration / p.max_iter, p.power),
            "sigmoid": lambda: 1 / (1 + np.exp(-p.gamma * (iteration - p.stepsize))),
        }
        unknown = f"Unknown learning rate policy: {policy}; there are {', '.join(factors)}"
        check(policy in factors, unknown, "sgd_solver.cpp:67")
        with np.errstate(all="ignore"):  # as in C, what overflows is inf, and a power that does not exist nan
            return float(np.float32(p.base_lr * factors[policy]()))

    def apply(self, rate: float, iteration: int) -> None:
        """Updates all parameters from their gradients, which are left as they are; with snapshot_diff they become the
        updates, as Caffe's do."""
        scale = self._clip_scale() / self.param.iter_size
        update = self._update_and_keep if self.param.snapshot_diff else self._update
        for index, each in enumerate(self.params):
            local_rate = rate * each.lr_mult
            if self._at_rest[index] and self._stays(each, local_rate):
                if self.param.snapshot_diff:
                    each.blob.clear_gradient()
                continue
            self._at_rest[index] = False
            update(each, self.history[index :: len(self.params)], scale, local_rate, iteration)

    def scalars(self, rate: float, iteration: int) -> tuple | None:
        """The numbers of the host that an update depends on; None where it does more on the host than to take them:
        where gradients are clipped, or are to become the updates."""
        on_host = self.param.clip_gradients >= 0 or self.param.snapshot_diff
        return None if on_host else (rate, *self._at_rest)

    def restore(self, history: list[np.ndarray], current_step: int, path: str) -> None:
        """Takes over the history of a solverstate; `path` names it in a Fatal."""
        needed = f"{self.param.type} keeps {len(self.history)} for the {len(self.params)} parameters of this net"
        wrong = f"{path}: Incorrect length of history blobs: {len(history)}; {needed}"
        check(len(history) == len(self.history), wrong, "sgd_solver.cpp:334")
        if not path.endswith(".h5"):
            log.info("sgd_solver.cpp:336", "SGDSolver: restoring history")
        for index, (mine, array) in enumerate(zip(self.history, history, strict=True)):
            bad = f"{path}: history {index} is of {array.shape}, but the parameter of {tuple(mine.shape)}"
            check(array.size == mine.numel(), bad, "blob.cpp:455")
            mine.copy_(torch.from_numpy(array.copy()).reshape(mine.shape))
        count = len(self.params)
        self._at_rest = [not any(array.any() for array in history[index::count]) for index in range(count)]
        self.current_step = current_step

    def _clip_scale(self) -> float:
        """What clip_gradients multiplies the gradients by."""
        limit = self.param.clip_gradients
        if limit < 0:
            return 1.0
        squares = [each.blob.grad.square().sum() for each in self.params if each.blob.grad is not None]
        norm = float(torch.stack(squares).sum().sqrt()) if squares else 0.0
        if not norm > limit:  # nor if it is nan
            return 1.0
        norms = f"(L2 norm {number(norm)} > {number(limit)})"
        scaling = f"Gradient clipping: scaling down gradients {norms} by scale factor {number(limit / norm)}"
        log.info("sgd_solver.cpp:99", scaling)
        return limit / norm

    def _stays(self, each: Param, local_rate: float) -> bool:
        """Whether a parameter whose history is 0 keeps its weights and its history."""
        return local_rate == 0

    def _update(
        self, each: Param, history: list[torch.Tensor], scale: float, local_rate: float, iteration: int
    ) -> None:
        """Changes weights and history of one parameter; `scale` is for its gradient."""
        weight, momentum, decay = each.blob.value, self.param.momentum, self._decay(each)
        if not momentum:
            torch.mul(self._regularized(each, scale), local_rate, out=history[0])
            weight.sub_(history[0])
        elif self.param.regularization_type == "L2":
            self._accelerate(weight, _scaled(each.blob, scale), history[0], decay, local_rate)
        else:
            self._accelerate(weight, self._regularized(each, scale), history[0], 0.0, local_rate)

    def _update_and_keep(self, each: Param, history, scale, local_rate, iteration) -> None:
        """As _update; then the gradient is what was taken from the weights: what weights of 0, which do not decay, end
        up with."""
        blob, weight = each.blob, each.blob.value
        blob.grad, blob.value = self._regularized(each, scale), torch.zeros_like(weight)
        self._update(each, history, 1.0, local_rate, iteration)
        blob.grad, blob.value = blob.value.neg_(), weight
        weight.sub_(blob.grad)

    def _accelerate(self, weight, gradient, history, decay, local_rate) -> None:
        """PyTorch's rule is h = momentum * h + (1 - dampening) * (g + decay * w), w -= lr * h: with lr 1, the dampening
        carries Caffe's rate into the history."""
        _fused(weight, gradient, history, decay, self.param.momentum, dampening=1.0 - local_rate)

    def _decay(self, each: Param) -> float:
        return self.param.weight_decay * each.decay_mult

    def _regularized(self, each: Param, scale: float) -> torch.Tensor:
        """The gradient times `scale`, with the weight decay added, in the memory layout of the weights."""
        gradient, decay = _scaled(each.blob, scale), self._decay(each)
        if not decay:
            return gradient
        weight = each.blob.value
        return gradient.add(weight.sign() if self.param.regularization_type == "L1" else weight, alpha=decay)


class Nesterov(SGD):
    """SGD that looks ahead. Its step is also w -= momentum * h + rate * g, with the new h."""

    def _accelerate(self, weight, gradient, history, decay, local_rate) -> None:
        """As PyTorch's Nesterov of a gradient that holds the rate."""
        _fused(weight, gradient * local_rate, history, decay * local_rate, self.param.momentum, nesterov=True)


def _scaled(blob: Blob, scale: float) -> torch.Tensor:
    gradient = _like(blob, blob.value)
    return gradient if scale == 1 else gradient * scale


def _like(blob: Blob, weight: torch.Tensor) -> torch.Tensor:
    """The gradient of `blob` in the memory layout of its weights."""
    gradient = blob.gradient()
    if gradient.stride() == weight.stride():
        return gradient
    return torch.empty_like(weight).copy_(gradient)


def _fused(weight, gradient, history, decay, momentum, dampening=0.0, nesterov=False) -> None:
    """All in one pass over memory."""
    torch._fused_sgd_(
        [weight],
        [gradient],
        [history],
        weight_decay=decay,
        momentum=momentum,
        lr=1.0,
        dampening=dampening,
        nesterov=nesterov,
        maximize=False,
        is_first_step=False,
    )
