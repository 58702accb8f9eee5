"""Stochastic gradient descent with momentum. Source followed: BVLC Caffe's sgd_solver.cpp and nesterov_solver.cpp.

For a weight w, its gradient g and its history h:

    g = g / iter_size + weight_decay * decay_mult * w        after clipping
    h = momentum * h + rate * lr_mult * g
    w = w - h                                                Nesterov: w - (1 + momentum) * h + momentum * (previous h)

So the history contains the learning rate. The other solvers derive from SGD and change only the last two lines.
"""

import numpy as np
import torch

from caffeformat import prototxt
from caffeformat.caffeformat_pb2 import SolverParameter
from torchcaffe.common import log
from torchcaffe.common.blob import Blob
from torchcaffe.common.log import Fatal, check, number
from torchcaffe.nets.params import Param

_Settings = tuple[float, float, float, bool]  # decay, momentum, dampening, whether it is Nesterov's rule
_Tensors = tuple[torch.Tensor, ...]  # weight, gradient, history
_PIECE = 1 << 18  # weights that are updated and rounded at once: they and their history fit the processor's cache


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
        # Fused steps that wait for each other: settings -> weights, gradients, histories. None: each is done at once.
        self._steps: dict[_Settings, list[_Tensors]] | None = None
        unknown = f"Unknown regularization type: {param.regularization_type}; L1 or L2"
        known = param.regularization_type in ("L1", "L2")
        without_decay = not any(map(self._decay, params))  # then it is not read
        self._check(known or without_decay, "regularization_type", unknown, "sgd_solver.cpp:181")

    def learning_rate(self, iteration: int) -> float:
        """The learning rate at `iteration`, rounded to float32. Updates `current_step`. Raises Fatal."""
        p, policy = self.param, self.param.lr_policy
        if policy == "fixed":
            return float(np.float32(p.base_lr))
        if policy != "poly":
            negative = f"lr_policy {policy} needs a gamma of 0 or more; it is {p.gamma:g}"
            self._check(p.gamma >= 0, "gamma", negative, "sgd_solver.cpp:39")
        if policy in ("step", "sigmoid"):
            too_small = f"lr_policy {policy} needs stepsize: 1 or more"
            self._check(p.stepsize > 0, "stepsize", too_small, "sgd_solver.cpp:33")
        if policy == "step":
            self.current_step = iteration // p.stepsize
        elif policy == "multistep":  # noqa: SIM102
            if self.current_step < len(p.stepvalue) and iteration >= p.stepvalue[self.current_step]:
                self.current_step += 1
                reached = f"MultiStep Status: Iteration {iteration}, step = {self.current_step}"
                log.info("sgd_solver.cpp:50", reached)
        factors = {
            "step": lambda: np.power(p.gamma, self.current_step),
            "exp": lambda: np.power(p.gamma, iteration),
            "inv": lambda: np.power(1 + p.gamma * iteration, -p.power),
            "multistep": lambda: np.power(p.gamma, self.current_step),
            "poly": lambda: np.power(1 - iteration / p.max_iter, p.power),
            "sigmoid": lambda: 1 / (1 + np.exp(-p.gamma * (iteration - p.stepsize))),
        }
        unknown = f"Unknown learning rate policy: {policy}; known policies: fixed, {', '.join(factors)}"
        self._check(policy in factors, "lr_policy", unknown, "sgd_solver.cpp:67")
        with np.errstate(all="ignore"):  # as in C: overflow gives inf, an undefined power gives nan
            return float(np.float32(p.base_lr * factors[policy]()))

    def _check(self, condition: bool, key: str, message: str, place: str) -> None:
        """Raises Fatal unless `condition` holds. Its text begins with the line of `key`, or of lr_policy without it."""
        if not condition:
            raise Fatal(f"{prototxt.place_of(self.where, key, 'lr_policy')}: {message}", place)

    def apply(self, rate: float, iteration: int) -> None:
        """Updates all parameters from their gradients. With `keeps_updates`, the updates replace the gradients, as in
        Caffe; without it, the gradients stay."""
        scale = self._clip_scale() / self.param.iter_size
        by_itself = self.keeps_updates and not self.history_is_update
        update = self._update_and_keep if by_itself else self._update
        self._steps = None if by_itself else {}
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
        for settings, tensors in (self._steps or {}).items():
            _fused_sgd(settings, *map(list, zip(*tensors, strict=True)))
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
        needs_host = self.param.clip_gradients >= 0 or self.keeps_updates
        return None if needs_host else (rate, *self._history_is_zero)

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

    def _fused(self, blob: Blob, gradient: torch.Tensor, history: torch.Tensor, settings: _Settings) -> None:
        """PyTorch's fused SGD step. It waits for the others with the same settings: one call for all costs less."""
        rounded = blob.rounded
        if self._steps is None or (rounded.is_used and rounded.copy_to_write(blob.value) is not None):
            _fused_at_once(blob, gradient, history, settings)
        else:
            self._steps.setdefault(settings, []).append(_dense(blob.value, gradient, history))

    def _decay(self, each: Param) -> float:
        return self.param.weight_decay * each.decay_mult

    def _regularized(self, each: Param, scale: float) -> torch.Tensor:
        """The gradient times `scale`, plus the weight decay, in the memory layout of the weights."""
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
    """The gradient of `blob` times `scale`, in the memory layout of the weights."""
    gradient, weight = blob.gradient(), blob.value
    if gradient.stride() != weight.stride():
        gradient = torch.empty_like(weight).copy_(gradient)
    return gradient if scale == 1 else gradient * scale


def _fused_at_once(blob: Blob, gradient: torch.Tensor, history: torch.Tensor, settings: _Settings) -> None:
    """PyTorch's fused SGD step, and the weights' copy in bfloat16 if they have one: one pass over memory.

    With a copy the pass goes piece by piece, so that the weights are in the processor's cache when they are rounded.
    """
    weight, copy = blob.value, blob.rounded.copy_to_write(blob.value)
    tensors = _dense(*([weight, gradient, history] if copy is None else [weight, gradient, history, copy]))
    in_pieces = copy is not None and all(tensor.is_contiguous() for tensor in tensors)
    pieces = zip(*(tensor.view(-1).split(_PIECE) for tensor in tensors), strict=True) if in_pieces else [tensors]
    for some_weight, some_gradient, some_history, *some_copy in pieces:
        _fused_sgd(settings, [some_weight], [some_gradient], [some_history])
        for target in some_copy:
            target.copy_(some_weight)


def _dense(weight: torch.Tensor, *others: torch.Tensor) -> tuple[torch.Tensor, ...]:
    """The tensors with their axes in the order of the memory, if all are laid out as (N, H, W, C): for others than
    contiguous tensors a fused step takes four times as long."""
    tensors = weight, *others
    if weight.dim() != 4 or weight.is_contiguous():
        return tensors
    if not all(tensor.is_contiguous(memory_format=torch.channels_last) for tensor in tensors):
        return tensors
    return tuple(tensor.permute(0, 2, 3, 1) for tensor in tensors)


def _fused_sgd(
    settings: _Settings, weights: list[torch.Tensor], gradients: list[torch.Tensor], histories: list[torch.Tensor]
) -> None:
    decay, momentum, dampening, nesterov = settings
    torch._fused_sgd_(
        weights,
        [g if g.dtype == w.dtype else g.to(w.dtype) for g, w in zip(gradients, weights, strict=True)],
        histories,
        weight_decay=decay,
        momentum=momentum,
        lr=1.0,
        dampening=dampening,
        nesterov=nesterov,
        maximize=False,
        is_first_step=False,
    )
