"""Copies of weights in bfloat16: what --precision=bf16 multiplies on a CPU, while the weights stay float32.

A copy is written once after each change of the weights, and not for each product: rounding 16.8 million weights into
new memory takes as long as their product with a batch of 256. Solvers write the copies in the pass that updates the
weights (`write`). All other changes are seen by the version that PyTorch counts for each tensor.
"""

import math
from collections.abc import Callable

import torch

# Writes weights in some order of their values into a bfloat16 tensor, a new one if it gets None, and returns it.
Arrange = Callable[[torch.Tensor, torch.Tensor | None], torch.Tensor]


def same_order(weight: torch.Tensor, out: torch.Tensor | None) -> torch.Tensor:
    """An Arrange: the shape, and the order in memory, of the weights."""
    out = torch.empty_like(weight, dtype=torch.bfloat16) if out is None else out
    return out.copy_(weight)


class Rounded:
    """The copies of one parameter, one for each Arrange that a layer has asked for. They stay in their memory.

    Set `exposed` if numpy can write to the weights: PyTorch does not see that, and from then on each use writes anew.
    """

    def __init__(self) -> None:
        self.exposed = False
        self._copies: dict[Arrange, torch.Tensor] = {}
        self._current: set[Arrange] = set()  # the copies that are like `_weight` was at `_version`
        self._has_same_order = False
        self._weight: torch.Tensor | None = None
        self._version: float = -1

    @property
    def is_used(self) -> bool:
        """Whether there are copies."""
        return bool(self._copies)

    def of(self, weight: torch.Tensor, arrange: Arrange = same_order) -> torch.Tensor:
        """The copy of `weight`, as it is now, that `arrange` makes. The next change of the weights may overwrite it."""
        if self.exposed or weight is not self._weight or _version(weight) != self._version:
            self._start_from(weight)
        if arrange not in self._current:
            self._copies[arrange] = arrange(weight, self._copies.get(arrange))
            self._current.add(arrange)
        return self._copies[arrange]

    def copy_to_write(self, weight: torch.Tensor) -> torch.Tensor | None:
        """The copy of `weight` in the same order, if there is one, for a solver that writes it piece by piece.

        The solver must write all of it, and then call `write`.
        """
        copy = self._copies.get(same_order) if weight is self._weight and not self.exposed else None
        self._has_same_order = copy is not None
        return copy

    def write(self, weight: torch.Tensor) -> None:
        """Writes the copies of `weight`, which a solver has changed, but for one that `copy_to_write` gave it."""
        has_same_order, self._has_same_order = self._has_same_order, False
        if weight is not self._weight or self.exposed:
            return
        self._start_from(weight)
        for arrange, copy in self._copies.items():
            if arrange is not same_order or not has_same_order:
                arrange(weight, copy)
        self._current |= self._copies.keys()

    def _start_from(self, weight: torch.Tensor) -> None:
        self._weight, self._version = weight, _version(weight)
        self._current.clear()


def _version(weight: torch.Tensor) -> float:
    """How often PyTorch has changed the tensor. In inference mode it does not count: nan, which equals nothing."""
    return math.nan if weight.is_inference() else weight._version
