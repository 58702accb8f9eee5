"""PyTorch's fused step of SGD, for several parameters in one call.

Its rule is h = momentum * h + (1 - dampening) * (g + decay * w); w = w - lr * h, here with lr = 1.
"""

import torch

from torchcaffe.common.blob import Blob

Settings = tuple[float, float, float, bool]  # decay, momentum, dampening, whether it is Nesterov's rule
_Tensors = list[torch.Tensor]

_PIECE = 1 << 18  # weights that are updated and rounded at once: they and their history fit the processor's cache


class FusedSteps:
    """Steps that wait for each other: one call for all with the same settings costs less than one for each.

    `again` does all of them with the next gradients. In a small net, finding out what each parameter needs takes longer
    than its step.
    """

    def __init__(self) -> None:
        self._waiting: dict[Settings, list[tuple[Blob, torch.Tensor, torch.Tensor]]] = {}
        self._done: list[tuple[Settings, list[_Place], _Tensors, _Tensors]] = []  # with weights and histories
        self._only_own = True  # whether each gradient was the blob's own
        self.count = 0

    def add(self, blob: Blob, gradient: torch.Tensor, history: torch.Tensor, settings: Settings) -> None:
        """Adds the step of a parameter. `gradient` is the blob's, or was made of it."""
        self._waiting.setdefault(settings, []).append((blob, gradient, history))
        self._only_own &= gradient is blob.grad_or_product()
        self.count += 1

    def run(self) -> None:
        """Does the steps that wait."""
        for settings, steps in self._waiting.items():
            dense = [_dense(blob.value, gradient, history) for blob, gradient, history in steps]
            weights, gradients, histories = map(list, zip(*dense, strict=True))
            _fused_sgd(settings, weights, gradients, histories)
            places = [_Place(blob, weight) for (blob, _, _), weight in zip(steps, weights, strict=True)]
            self._done.append((settings, places, weights, histories))
        self._waiting.clear()

    def again(self) -> bool:
        """Does all steps with the present gradients. False, and nothing is done, if more than these has changed: a
        tensor has moved, or a gradient is zero, or laid out in another way."""
        if not self._only_own:
            return False
        found: list[_Tensors] = []
        for _, places, _, _ in self._done:
            found.append([])
            for place in places:
                gradient = place.gradient()
                if gradient is None:
                    return False
                found[-1].append(gradient)
        for (settings, _, weights, histories), gradients in zip(self._done, found, strict=True):
            _fused_sgd(settings, weights, gradients, histories)
        return True


class _Place:
    """Where the weights of `blob` lie; `dense` is the view of them that its step changes."""

    __slots__ = ("_address", "_blob", "_is_view", "_strides", "_weight")

    def __init__(self, blob: Blob, dense: torch.Tensor):
        self._blob, self._weight, self._is_view = blob, blob.value, dense is not blob.value
        self._address, self._strides = self._weight.data_ptr(), self._weight.stride()

    def gradient(self) -> torch.Tensor | None:
        """The blob's present gradient, laid out as `dense`; None if weights or gradient lie in another way."""
        blob, weight, gradient = self._blob, self._weight, self._blob.grad_or_product()
        if gradient is None or blob.value is not weight or blob.rounded.is_used:
            return None
        if weight.data_ptr() != self._address or weight.stride() != self._strides or not lie_alike(gradient, weight):
            return None
        return gradient.permute(0, 2, 3, 1) if self._is_view else gradient


def lie_alike(a: torch.Tensor, b: torch.Tensor) -> bool:
    """Whether two tensors of one shape have their values in the same order of memory. The strides of axes of size 1
    may differ: they say nothing."""
    return a.stride() == b.stride() or (a.is_contiguous() and b.is_contiguous())


def step_at_once(blob: Blob, gradient: torch.Tensor, history: torch.Tensor, settings: Settings) -> None:
    """One parameter's step, and the weights' copy in bfloat16 if they have one: one pass over memory.

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


def _fused_sgd(settings: Settings, weights: _Tensors, gradients: _Tensors, histories: _Tensors) -> None:
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
