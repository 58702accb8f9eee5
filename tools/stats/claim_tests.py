"""How a claim is judged: its parts become contrasts, and their tests are put together.

A claim is a conjunction, and is tested as one (intersection-union): it holds if each of its comparisons does, so that
its p-value is the largest of theirs. It fails if one comparison is shown to be the other way round: the smallest of the
reversed p-values, times their number (Bonferroni). Where one of several is enough (`some`), the two change places. Both
answers are looked for, so that the claim's p is twice the smaller of the two.
"""

import math
from collections import defaultdict
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from itertools import pairwise

import numpy as np
from scipy import stats

from tools.protocol.conditions import Condition
from tools.results.columns import size_order
from tools.results.tables import Tables, best_iterations
from tools.stats.claims_file import BestIteration, Claim, Comparison, Part, SameOrder, Steps, Trend, in_sizes
from tools.stats.intervals import Cell, Estimate, Measured


class NotApplicable(Exception):
    """The claim says nothing of these results, or they lack what it needs; the text says which."""


@dataclass(frozen=True)
class Test:
    """A comparison, or several put together. `shown` is the one that the answer hangs on."""

    p_holds: float
    p_fails: float
    shown: "Term"
    terms: tuple["Term", ...]


@dataclass(frozen=True)
class Term:
    """One comparison: `what` is above `threshold` (sign 1) or below it (sign -1)."""

    what: str
    estimate: Estimate
    threshold: float
    sign: int
    unit: str = "accuracy"
    sizes: frozenset = field(default=frozenset())

    @property
    def test(self) -> Test:
        above, below = self.estimate.p_above(self.threshold), self.estimate.p_below(self.threshold)
        return Test(*((above, below) if self.sign > 0 else (below, above)), self, (self,))

    @property
    def shortfall(self) -> float:
        """How far the effect is on the wrong side; negative on the right one."""
        return self.sign * (self.threshold - self.estimate.effect)


def each(tests: list[Test]) -> Test:
    """All of them must hold."""
    worst = max(tests, key=_doubt)
    return Test(
        float(np.max([test.p_holds for test in tests])),
        float(np.minimum(1, len(tests) * np.min([test.p_fails for test in tests]))),
        worst.shown,
        _terms(tests),
    )


def some(tests: list[Test]) -> Test:
    """One of them is enough."""
    best = min(tests, key=_doubt)
    return Test(
        float(np.minimum(1, len(tests) * np.min([test.p_holds for test in tests]))),
        float(np.max([test.p_fails for test in tests])),
        best.shown,
        _terms(tests),
    )


def _doubt(test: Test) -> tuple[float, float]:
    return (test.p_holds if math.isfinite(test.p_holds) else 0.5, test.shown.shortfall)


def _terms(tests: Iterable[Test]) -> tuple[Term, ...]:
    return tuple(term for test in tests for term in test.terms)


class Judge:
    """Makes the tests of claims from tables: of the experiment, and where there are any its pre-study and another's.

    these_nets: by images alone, of the very nets that were trained (tools/stats/intervals.py).
    """

    def __init__(
        self,
        own: Tables,
        margin: float,
        prestudy: Tables | None = None,
        other: Tables | None = None,
        these_nets: bool = False,
    ) -> None:
        self._own, self._margin, self._other, self._these_nets = own, margin, other, these_nets
        self._results = {"own": own, "prestudy": prestudy}
        self._measured: dict[tuple[str, str], Measured] = {}

    def test(self, claim: Claim) -> Test:
        """Raises NotApplicable."""
        tables = self._results[claim.results]
        if tables is None:
            raise NotApplicable("no results of the pre-study")
        parts = claim.parts(tables.dataset)
        if parts is None:
            raise NotApplicable(f"a claim of {' and '.join(claim.by_dataset)}")
        margin = self._margin if claim.margin is None else claim.margin
        return each([self._part(part, claim.results, margin) for part in parts])

    def _part(self, part: Part, results: str, margin: float) -> Test:
        make: dict[type, Callable] = {
            Comparison: self._comparison,
            Steps: self._steps,
            Trend: self._trend,
            BestIteration: self._best_iteration,
            SameOrder: self._same_order,
        }
        return make[type(part)](part, results, margin)

    def _comparison(self, part: Comparison, results: str, margin: float) -> Test:
        measured = self._of(results, "accuracy")
        sign = -1 if part.kind == "at_most" else 1
        threshold = {"above": 0.0, "at_least": -margin, "at_most": margin}[part.kind]
        tests = []
        for size in _some_sizes(part, measured.cells):
            have = {condition for other, condition in measured.cells if other == size}
            lefts = [part.left] if part.left else _expand(part.some, have, None)
            of_size = [
                each([
                    _term(measured, {(size, left): 1.0, (size, right): -1.0}, threshold, sign, f"{left} - {right}").test
                    for right in _expand(part.right, have, left)
                ])
                for left in lefts
            ]  # fmt: skip
            tests.append(some(of_size))
        return each(tests)

    def _steps(self, part: Steps, results: str, margin: float) -> Test:
        measured = self._of(results, "accuracy")
        sizes = _sizes_of([part.of], part.sizes, measured.cells, 2)
        sign = 1 if part.as_sizes_shrink == "falls" else -1
        tests = []
        for large, small in pairwise(sizes):
            weights = {(large, part.of): 1.0, (small, part.of): -1.0}
            tests.append(_term(measured, weights, 0.0, sign, f"{part.of}, {large} - {small}").test)
        return each(tests)

    def _trend(self, part: Trend, results: str, margin: float) -> Test:
        measured = self._of(results, part.measure)
        over = [part.over] if part.over else []
        numbered = [(size, condition) for size, condition in measured.cells if size != "all"]
        sizes = _sizes_of([*part.of, *over], part.sizes, numbered, 3)
        weights: dict[Cell, float] = defaultdict(float)
        for size, slope in zip(sizes, _change_along_line(sizes), strict=True):
            for condition in part.of:
                weights[size, condition] += slope / len(part.of)
            for condition in over:
                weights[size, condition] -= slope
        threshold = margin if part.as_sizes_shrink == "does_not_grow" else 0.0
        sign = 1 if part.as_sizes_shrink == "grows" else -1
        what = f"{', '.join(part.of)}{f' - {part.over}' if part.over else ''}, from {sizes[0]} to {sizes[-1]}"
        unit = "iterations" if part.measure == "best_iteration" else "accuracy"
        return _term(measured, dict(weights), threshold, sign, what, unit).test

    def _best_iteration(self, part: BestIteration, results: str, margin: float) -> Test:
        measured = self._of(results, "best_iteration")
        (size, *_) = _sizes_of([part.of], "all", measured.cells, 1)
        low, high = sorted(part.between)
        weights, what = {(size, part.of): 1.0}, f"{part.of}, lowest validation loss"
        return each([
            _term(measured, weights, bound, sign, what, "iterations").test for bound, sign in ((low, 1), (high, -1))
        ])  # fmt: skip

    def _same_order(self, part: SameOrder, results: str, margin: float) -> Test:
        if self._other is None:
            raise NotApplicable("needs the results of another data set: --other FOLDER")
        if self._other.dataset == self._own.dataset:
            raise NotApplicable(f"both results are of {self._own.dataset}")
        patterns = [_pattern(tables) for tables in (self._own, self._other)]
        shared = sorted(set.intersection(*map(set, patterns)))
        if len(shared) < 4:
            raise NotApplicable(f"{len(shared)} conditions in both results; a rank correlation needs 4")
        estimate = _rank_correlation(*([pattern[name] for name in shared] for pattern in patterns), self._own, shared)
        what = f"{self._own.dataset}, {self._other.dataset}: {len(shared)} conditions"
        return Term(what, estimate, 0.0, 1, "rho", frozenset(self._own.sizes)).test

    def _of(self, results: str, measure: str) -> Measured:
        """The runs of one of the tables by one of the measures."""
        if (results, measure) not in self._measured:
            tables = self._results[results]
            if measure == "accuracy":
                made = Measured(tables.runs, tables.predictions, these_nets=self._these_nets)
            else:
                values, step = best_iterations(tables.curves)
                made = Measured(tables.runs, None, values, step, self._these_nets)
            self._measured[results, measure] = made
        return self._measured[results, measure]


def _term(
    measured: Measured, weights: dict[Cell, float], threshold: float, sign: int, what: str, unit: str = "accuracy"
) -> Term:
    estimate = measured.estimate(weights)
    sizes = {size for size, _ in weights}
    if estimate is None:
        raise NotApplicable(f"no seed has all runs of {what} at {_words(sizes)}")
    at = f" at {_words(sizes)}" if len(sizes) == 1 else ""
    return Term(what + at, estimate, threshold, sign, unit, frozenset(sizes))


def _words(sizes: Iterable[int | str]) -> str:
    return ", ".join(map(str, sorted(sizes, key=size_order)))


def _some_sizes(part: Comparison, cells: list[Cell]) -> list[int | str]:
    """The sizes at which all of the part's conditions were measured; of a group, one at least."""
    named = [name for name in [part.left, *(part.some or []), *part.right] if name and name not in ("frozen", "others")]
    sizes = _sizes_of(named, part.sizes, cells, 1)
    groups = [group for group in ([*(part.some or [])], part.right) if {"frozen", "others"} & set(group)]
    usable = []
    for size in sizes:
        have = {condition for other, condition in cells if other == size}
        if all(_expand(group, have, part.left) for group in groups):
            usable.append(size)
    if not usable:
        raise NotApplicable("the conditions to compare were not measured")
    return usable


def _sizes_of(conditions: list[str], sizes: str | list[int], cells: list[Cell], least: int) -> list[int | str]:
    """The sizes, largest first, among `sizes` at which all of these conditions have runs. Raises NotApplicable."""
    measured = sorted({size for size, _ in cells}, key=size_order)
    found = [s for s in measured if in_sizes(s, sizes) and all((s, condition) in cells for condition in conditions)]
    wanted = sizes if isinstance(sizes, list) else []
    if len(found) < least or set(wanted) - set(found):
        at = "" if sizes == "all" else f" at {_words(wanted) if wanted else sizes} images a class"
        count = f" at {least} sizes" if least > 1 else ""
        raise NotApplicable(f"no runs of {' and '.join(conditions) or 'these conditions'}{at}{count}")
    return found


def _expand(names: list[str], have: set[str], left: str | None) -> list[str]:
    """`frozen` and `others` as the conditions that were measured."""
    thesis = sorted((name for name in have if _is_of_thesis(name)), key=lambda name: Condition.parse(name).order)
    found = []
    for name in names:
        if name == "frozen":
            found += [other for other in thesis if Condition.parse(other).frozen]
        elif name == "others":
            found += [other for other in thesis if other != left]
        else:
            found.append(name)
    return list(dict.fromkeys(found))


def _is_of_thesis(name: str) -> bool:
    if name == "source":
        return False
    condition = Condition.parse(name)
    return name in ("base", "FTall") or (
        condition.origin == "source" and condition.frozen and name == f"S{condition.depth}T"
    )


def _change_along_line(sizes: list[int]) -> list[float]:
    """Weights by which the least-squares line over log2(size) rises from the largest size to the smallest."""
    x = -np.log2(np.array(sizes, float))
    x -= x.mean()
    return list(x / (x @ x) * (x.max() - x.min()))


def _pattern(tables: Tables) -> dict[str, float]:
    """Condition -> its mean accuracy over the sizes at which every one of the thesis' conditions was measured."""
    measured = Measured(tables.runs)
    conditions = sorted({condition for _, condition in measured.cells if _is_of_thesis(condition)})
    sizes = [s for s in tables.sizes if all((s, condition) in measured.cells for condition in conditions)]
    found = {}
    for condition in conditions:
        estimates = [measured.estimate({(size, condition): 1.0}) for size in sizes]
        if estimates and all(estimates):
            found[condition] = float(np.mean([estimate.effect for estimate in estimates]))
    return found


def _rank_correlation(first: list[float], second: list[float], own: Tables, conditions: list[str]) -> Estimate:
    """Spearman's rho; its interval by Fisher's z with Bonett and Wright's standard error (Psychometrika 65, 2000)."""
    rho = float(stats.spearmanr(first, second).statistic)
    se = math.sqrt((1 + rho**2 / 2) / (len(first) - 3))
    runs = frozenset(
        (row["size"], row["condition"], row["seed"], row["direction"])
        for row in own.runs
        if row["condition"] in conditions
    )
    return RankCorrelation(rho, se, math.inf, "conditions", len(own.seeds), runs)


class RankCorrelation(Estimate):
    """Spearman's rho over conditions; `se` is that of atanh(rho)."""

    def interval_at(self, level: float) -> tuple[float, float]:
        reach = stats.norm.ppf(0.5 + level / 2) * self.se
        z = np.arctanh(np.clip(self.effect, -0.999999, 0.999999))
        return float(np.tanh(z - reach)), float(np.tanh(z + reach))

    def _tail(self, distance: float) -> float:
        z = np.arctanh(np.clip(distance, -0.999999, 0.999999))
        return float(stats.norm.sf(z / self.se))
