"""Comparisons of a claim, and how their tests are combined.

A claim says that several comparisons hold together, and is tested as such (intersection-union test): its p-value is the
largest of theirs. It fails if at least one comparison is shown to be the other way round: the smallest of the reversed
p-values, times their number (Bonferroni). Where one of several is enough (`some`), the two rules change places. Both
answers are tested, so the two-sided p-value of a claim is twice the smaller one.
"""

import math
from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np

from tools.protocol.layout import Size
from tools.stats.intervals import Estimate


@dataclass(frozen=True)
class ClaimTest:
    """The test of one comparison, or of several combined. `deciding`: the comparison that the answer depends on."""

    p_holds: float
    p_fails: float
    deciding: "Term"
    terms: tuple["Term", ...]


@dataclass(frozen=True)
class Term:
    """One comparison: the contrast `label` is above `threshold` (sign 1) or below it (sign -1)."""

    label: str
    estimate: Estimate
    threshold: float
    sign: int
    unit: str = "accuracy"
    sizes: frozenset[Size] = frozenset()

    @property
    def test(self) -> ClaimTest:
        above, below = self.estimate.p_above(self.threshold), self.estimate.p_below(self.threshold)
        return ClaimTest(*((above, below) if self.sign > 0 else (below, above)), self, (self,))

    @property
    def shortfall(self) -> float:
        """How far the effect is on the wrong side of the threshold; negative on the right side."""
        return self.sign * (self.threshold - self.estimate.effect)


def all_of(tests: list[ClaimTest]) -> ClaimTest:
    """The test that every one of `tests` holds."""
    return ClaimTest(
        float(np.max([test.p_holds for test in tests])),
        float(np.minimum(1, len(tests) * np.min([test.p_fails for test in tests]))),
        max(tests, key=_doubt).deciding,
        _terms(tests),
    )


def any_of(tests: list[ClaimTest]) -> ClaimTest:
    """The test that at least one of `tests` holds."""
    return ClaimTest(
        float(np.minimum(1, len(tests) * np.min([test.p_holds for test in tests]))),
        float(np.max([test.p_fails for test in tests])),
        min(tests, key=_doubt).deciding,
        _terms(tests),
    )


def _doubt(test: ClaimTest) -> tuple[float, float]:
    """A sort key that puts the weakest comparison last."""
    return (test.p_holds if math.isfinite(test.p_holds) else 0.5, test.deciding.shortfall)


def _terms(tests: Iterable[ClaimTest]) -> tuple[Term, ...]:
    return tuple(term for test in tests for term in test.terms)
