"""Stochastic gradient descent with momentum. Source followed: BVLC Caffe's sgd_solver.cpp and nesterov_solver.cpp.

For a weight w, its gradient g and its history h:

    g = g / iter_size + weight_decay * decay_mult * w        after clipping
    h = momentum * h + rate * lr_mult * g
    w = w - h                                                Nesterov: w - (1 + momentum) * h + momentum * (previous h)

So the history contains the learning rate. The other solvers derive from SGD and change only the last two lines.
"""

from functools import lru_cache

import numpy as np
import torch

from caffeformat import prototxt
from caffeformat.caffeformat_pb2 import SolverParameter
from torchcaffe.common import log
from torchcaffe.common.blob import Blob
from torchcaffe.common.log import Fatal, check, number
from torchcaffe.nets.params import Param
from torchcaffe.solvers.fused import FusedSteps, Settings, lie_alike, step_at_once

# What the learning rate is multiplied by at iteration `at`, or of "step" and "multistep" after so many steps, from
# gamma, power, stepsize and max_iter.
_FACTORS = {
    "step": lambda at, gamma, power, size, last: np.power(gamma, at),
    "exp": lambda at, gamma, power, size, last: np.power(gamma, at),
    "inv": lambda at, gamma, power, size, last: np.power(1 + gamma * at, -power),
    "multistep": lambda at, gamma, power, size, last: np.power(gamma, at),
    "poly": lambda at, gamma, power, size, last: np.power(1 - at / last, power),
    "sigmoid": lambda at, gamma, power, size, last: 1 / (1 + np.exp(-gamma * (at - size))),
}


@lru_cache(16)  # most policies keep a rate for many iterations
def _rate(base: float, policy: str, at: int, gamma: float, power: float, size: int, last: int) -> float:
    with np.errstate(all="ignore"):  # as in C: overflow gives inf, an undefined power gives nan
        return float(np.float32(base * _FACTORS[policy](at, gamma, power, size, last)))


class SGD:
    """The update rule for the learnable `params`.

    `history` has one tensor per parameter, in their order. A solver with two puts all the second ones after all the
    first ones. `where` names the solver's file in errors.
    """

    histories = 1  # tensors per parameter
    history_is_update = True  # whether the history is what the last update subtracted from the weights

    def __init__(self, param: SolverParameter, params: list[Param], where: str = "solver"):
        self.where = where
        self.param = param
        self.params = params
        self.current_step = 0
        self.history = [torch.zeros_like(each.blob.value) for each in params * self.histories]
        self._history_is_zero = [True] * len(params)
        self.keeps_updates = param.snapshot_diff
        self._steps: FusedSteps | None = None  # None: each step is done at once
        self._repeatable: tuple[float, ...] | None = None  # the scalars with which `_steps` are the whole update
        unknown = f"Unknown regularization type: {param.regularization_type}; L1 or L2"
        known = param.regularization_type in ("L1", "L2")
        without_decay = not any(map(self._decay, params))  # then it is not read
        self._check(known or without_decay, "regularization_type", unknown, "sgd_solver.cpp:181")

    def learning_rate(self, iteration: int) -> float:
        """The learning rate at `iteration`, rounded to float32. Updates `current_step`. Raises Fatal."""
        p, policy = self.param, self.param.lr_policy
        if policy == "fixed":
            return float(np.float32(p.base_lr))
        at = iteration
        if policy != "poly" and not p.gamma >= 0:
            negative = f"lr_policy {policy} needs a gamma of 0 or more; it is {p.gamma:g}"
            raise self._fault("gamma", negative, "sgd_solver.cpp:39")
        if policy in ("step", "sigmoid") and not p.stepsize > 0:
            raise self._fault("stepsize", f"lr_policy {policy} needs stepsize: 1 or more", "sgd_solver.cpp:33")
        if policy == "step":
            at = self.current_step = iteration // p.stepsize
        elif policy == "multistep":
            if self.current_step < len(p.stepvalue) and iteration >= p.stepvalue[self.current_step]:
                self.current_step += 1
                reached = f"MultiStep Status: Iteration {iteration}, step = {self.current_step}"
                log.info("sgd_solver.cpp:50", reached)
            at = self.current_step
        elif policy not in _FACTORS:
            unknown = f"Unknown learning rate policy: {policy}; known policies: fixed, {', '.join(_FACTORS)}"
            raise self._fault("lr_policy", unknown, "sgd_solver.cpp:67")
        return _rate(p.base_lr, policy, at, p.gamma, p.power, p.stepsize, p.max_iter)

    def _check(self, condition: bool, key: str, message: str, place: str) -> None:
        """Raises Fatal unless `condition` holds."""
        if not condition:
            raise self._fault(key, message, place)

    def _fault(self, key: str, message: str, place: str) -> Fatal:
        """An error whose text begins with the line of `key`, or of lr_policy without it."""
        return Fatal(f"{prototxt.place_of(self.where, key, 'lr_policy')}: {message}", place)

    def apply(self, rate: float, iteration: int) -> None:
        """Updates all parameters from their gradients. With `keeps_updates`, the updates replace the gradients, as in
        Caffe; without it, the gradients stay."""
        repeats = self._repeatable is not None and self.scalars(rate, iteration) == self._repeatable
        if repeats and self._steps is not None and self._steps.again():
            return
        self._repeatable = None  # until all steps are done: an interrupted update is none to do again
        scale = self._clip_scale() / self.param.iter_size
        by_itself = self.keeps_updates and not self.history_is_update
        update = self._update_and_keep if by_itself else self._update
        self._steps = None if by_itself else FusedSteps()
        updated = []
        for index, each in enumerate(self.params):
            local_rate = rate * each.lr_mult
            if self._history_is_zero[index] and self._is_unchanged(each, local_rate):
                if self.keeps_updates:
                    each.blob.clear_gradient()
                continue
            self._history_is_zero[index] = False
            history = self._histories(index, each.blob.value)
            update(each, history, scale, local_rate, iteration)
            updated.append((each.blob, history[0]))
        if self._steps is not None:
            self._steps.run()
            self._repeatable = self.scalars(rate, iteration) if 0 < self._steps.count == len(updated) else None
        keeps_history = self.keeps_updates and self.history_is_update
        for blob, history_of_blob in updated:
            if blob.rounded.is_used:
                blob.rounded.write(blob.value)
            if keeps_history:
                blob.copy_gradient_later(history_of_blob)

    def scalars(self, rate: float, iteration: int) -> tuple[float, ...] | None:
        """The host's numbers that an update depends on: a recorded update may be replayed while they stay the same.

        None if the update needs host work (clipping, `keeps_updates`) and so cannot be recorded.
        """
        p = self.param
        needs_host = p.clip_gradients >= 0 or self.keeps_updates
        kind = float(p.regularization_type == "L1")
        return None if needs_host else (rate, p.momentum, p.weight_decay, kind, p.iter_size, *self._history_is_zero)

    def restore(self, history: list[np.ndarray], current_step: int, path: str) -> None:
        """Copies the history and the step of the solverstate `path`. Raises Fatal if they are another net's."""
        for each in self.params:
            each.blob.copy_gradient_now()  # it may be the last update, which is the history
        needed = f"{self.param.type} keeps {len(self.history)} for the {len(self.params)} parameters of this net"
        wrong_length = f"{path}: Incorrect length of history blobs: {len(history)}; {needed}"
        check(len(history) == len(self.history), wrong_length, "sgd_solver.cpp:334")
        if not path.endswith(".h5"):
            log.info("sgd_solver.cpp:336", "SGDSolver: restoring history")
        for index, (tensor, array) in enumerate(zip(self.history, history, strict=True)):
            wrong_shape = f"{path}: history {index} has the shape {array.shape}, the parameter {tuple(tensor.shape)}"
            check(array.size == tensor.numel(), wrong_shape, "blob.cpp:455")
            tensor.copy_(torch.from_numpy(array.copy()).reshape(tensor.shape))
        count = len(self.params)
        self._history_is_zero = [not any(array.any() for array in history[index::count]) for index in range(count)]
        self.current_step = current_step
        self._repeatable = None

    def _histories(self, index: int, weight: torch.Tensor) -> list[torch.Tensor]:
        """The history of parameter `index`, in the memory order of `weight`: fused steps walk through both side by
        side, and a script's array changes the order of the weights."""
        order = weight.stride()
        for place in range(index, len(self.history), len(self.params)):
            if self.history[place].stride() != order:
                self.history[place] = torch.empty_like(weight).copy_(self.history[place])
        return self.history[index :: len(self.params)]

    def _clip_scale(self) -> float:
        """The factor by which clip_gradients scales all gradients."""
        limit = self.param.clip_gradients
        if limit < 0:
            return 1.0
        squares = [each.blob.grad.square().sum() for each in self.params if each.blob.grad is not None]
        norm = float(torch.stack(squares).sum().sqrt()) if squares else 0.0
        if not norm > limit:  # true for nan too, as in Caffe
            return 1.0
        norms = f"(L2 norm {number(norm)} > {number(limit)})"
        scaling = f"Gradient clipping: scaling down gradients {norms} by scale factor {number(limit / norm)}"
        log.info("sgd_solver.cpp:99", scaling)
        return limit / norm

    def _is_unchanged(self, each: Param, local_rate: float) -> bool:
        """Whether an update would change neither the weights nor the history of a parameter whose history is zero."""
        return local_rate == 0

    def _update(
        self, each: Param, history: list[torch.Tensor], scale: float, local_rate: float, iteration: int
    ) -> None:
        """Updates weights and history of one parameter. Its gradient counts `scale` times."""
        weight, momentum, decay = each.blob.value, self.param.momentum, self._decay(each)
        if not momentum:
            torch.mul(self._regularized(each, scale), local_rate, out=history[0])
            weight.sub_(history[0])
        elif self.param.regularization_type == "L2":
            product = each.blob.grad_or_product() if scale == 1 else None
            gradient = product if product is not None and product.dtype != weight.dtype else _scaled(each.blob, scale)
            self._accelerate(each.blob, gradient, history[0], decay, local_rate)
        else:
            self._accelerate(each.blob, self._regularized(each, scale), history[0], 0.0, local_rate)

    def _update_and_keep(
        self, each: Param, history: list[torch.Tensor], scale: float, local_rate: float, iteration: int
    ) -> None:
        """As _update; afterwards the gradient is what was subtracted from the weights.

        To find it, weights of zero are updated by the regularized gradient: they end as the negative update.
        """
        blob, weight = each.blob, each.blob.value
        blob.grad, blob.value = self._regularized(each, scale), torch.zeros_like(weight)
        self._update(each, history, 1.0, local_rate, iteration)
        blob.grad, blob.value = blob.value.neg_(), weight
        weight.sub_(blob.grad)

    def _accelerate(
        self, blob: Blob, gradient: torch.Tensor, history: torch.Tensor, decay: float, local_rate: float
    ) -> None:
        """PyTorch's rule is h = momentum * h + (1 - dampening) * (g + decay * w); w -= lr * h.

        With lr = 1 and dampening = 1 - rate, the history contains the rate, as in Caffe.
        """
        self._fused(blob, gradient, history, (decay, self.param.momentum, 1.0 - local_rate, False))

    def _fused(self, blob: Blob, gradient: torch.Tensor, history: torch.Tensor, settings: Settings) -> None:
        """PyTorch's fused SGD step, which waits for those of the other parameters."""
        rounded = blob.rounded
        if self._steps is None or (rounded.is_used and rounded.copy_to_write(blob.value) is not None):
            step_at_once(blob, gradient, history, settings)
        else:
            self._steps.add(blob, gradient, history, settings)

    def _decay(self, each: Param) -> float:
        return self.param.weight_decay * each.decay_mult

    def _regularized(self, each: Param, scale: float) -> torch.Tensor:
        """The gradient times `scale`, plus the weight decay, in the order of memory of the weights."""
        gradient, decay = _scaled(each.blob, scale), self._decay(each)
        if not decay:
            return gradient
        weight = each.blob.value
        return gradient.add(weight.sign() if self.param.regularization_type == "L1" else weight, alpha=decay)


class Nesterov(SGD):
    """SGD with Nesterov's momentum. With the new h, its update is also w -= momentum * h + rate * g."""

    history_is_update = False

    def _accelerate(
        self, blob: Blob, gradient: torch.Tensor, history: torch.Tensor, decay: float, local_rate: float
    ) -> None:
        """PyTorch's Nesterov rule, for a gradient that is multiplied by the rate before."""
        settings = (decay * local_rate, self.param.momentum, 0.0, True)
        self._fused(blob, gradient.to(history.dtype) * local_rate, history, settings)


def _scaled(blob: Blob, scale: float) -> torch.Tensor:
    """The gradient of `blob` times `scale`, in the order of memory of the weights."""
    gradient, weight = blob.gradient(), blob.value
    if not lie_alike(gradient, weight):
        gradient = torch.empty_like(weight).copy_(gradient)
    return gradient if scale == 1 else gradient * scale
