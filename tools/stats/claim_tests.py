"""Tests a claim on tables: each of its parts becomes contrasts, whose tests are combined (tools/stats/terms.py)."""

from collections import defaultdict
from collections.abc import Iterable
from itertools import pairwise

import numpy as np

from tools.protocol.conditions import Condition
from tools.protocol.layout import Size
from tools.results.columns import condition_order, size_order
from tools.results.tables import Tables, best_iterations
from tools.stats.claims_file import BestIteration, Claim, Comparison, Part, SameOrder, Steps, Trend, in_sizes
from tools.stats.intervals import Cell, Estimate, Measurements
from tools.stats.rank_correlation import RankCorrelation
from tools.stats.terms import ClaimTest, Term, all_of, any_of


class NotApplicable(Exception):
    """The claim is not about these results, or they lack what it needs. The text says which."""


class ClaimTester:
    """Tests claims on the tables of an experiment, of its pre-study, and of another experiment, if there are any.

    these_nets: tests by images alone, about the very nets that were trained (tools/stats/intervals.py).
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
        self._measurements: dict[tuple[str, str], Measurements] = {}

    def test(self, claim: Claim) -> ClaimTest:
        """Raises NotApplicable."""
        tables = self._tables(claim.results)
        parts = claim.parts(tables.dataset)
        if parts is None:
            raise NotApplicable(f"a claim of {' and '.join(claim.by_dataset or {})}")
        margin = self._margin if claim.margin is None else claim.margin
        return all_of([self._part(part, claim.results, margin) for part in parts])

    def _part(self, part: Part, results: str, margin: float) -> ClaimTest:
        match part:
            case Comparison():
                return self._comparison(part, results, margin)
            case Steps():
                return self._steps(part, results)
            case Trend():
                return self._trend(part, results, margin)
            case BestIteration():
                return self._best_iteration(part, results)
            case SameOrder():
                return self._same_order()

    def _comparison(self, part: Comparison, results: str, margin: float) -> ClaimTest:
        measurements = self._measured(results, "accuracy")
        sign = -1 if part.kind == "at_most" else 1
        threshold = {"above": 0.0, "at_least": -margin, "at_most": margin}[part.kind]
        tests = []
        for size in _comparable_sizes(part, measurements.cells):
            of_size = []
            for left, rights in _pairs(part, _conditions_at(size, measurements.cells)).items():
                terms = [
                    _term(measurements, {(size, left): 1.0, (size, right): -1.0}, threshold, sign, f"{left} - {right}")
                    for right in rights
                ]
                of_size.append(all_of([term.test for term in terms]))
            tests.append(any_of(of_size))
        return all_of(tests)

    def _steps(self, part: Steps, results: str) -> ClaimTest:
        measurements = self._measured(results, "accuracy")
        sizes = _measured_sizes([part.of], part.sizes, measurements.cells, 2)
        sign = 1 if part.as_sizes_shrink == "falls" else -1
        tests = []
        for large, small in pairwise(sizes):
            weights = {(large, part.of): 1.0, (small, part.of): -1.0}
            tests.append(_term(measurements, weights, 0.0, sign, f"{part.of}, {large} - {small}").test)
        return all_of(tests)

    def _trend(self, part: Trend, results: str, margin: float) -> ClaimTest:
        measurements = self._measured(results, part.measure)
        over = [part.over] if part.over else []
        numbered = [cell for cell in measurements.cells if cell[0] != "all"]
        sizes = _measured_sizes([*part.of, *over], part.sizes, numbered, 3)
        weights: dict[Cell, float] = defaultdict(float)
        for size, slope in zip(sizes, _line_weights(sizes), strict=True):
            for condition in part.of:
                weights[size, condition] += slope / len(part.of)
            for condition in over:
                weights[size, condition] -= slope
        threshold = margin if part.as_sizes_shrink == "does_not_grow" else 0.0
        sign = 1 if part.as_sizes_shrink == "grows" else -1
        label = f"{', '.join(part.of)}{f' - {part.over}' if part.over else ''}, from {sizes[0]} to {sizes[-1]}"
        unit = "iterations" if part.measure == "best_iteration" else "accuracy"
        return _term(measurements, dict(weights), threshold, sign, label, unit).test

    def _best_iteration(self, part: BestIteration, results: str) -> ClaimTest:
        measurements = self._measured(results, "best_iteration")
        (size, *_) = _measured_sizes([part.of], "all", measurements.cells, 1)
        low, high = sorted(part.between)
        weights, label = {(size, part.of): 1.0}, f"{part.of}, lowest validation loss"
        bounds = ((low, 1), (high, -1))
        return all_of([_term(measurements, weights, bound, sign, label, "iterations").test for bound, sign in bounds])

    def _same_order(self) -> ClaimTest:
        if self._other is None:
            raise NotApplicable("needs the results of another data set: --other FOLDER")
        if self._other.dataset == self._own.dataset:
            raise NotApplicable(f"both results are of {self._own.dataset}")
        own, other = _condition_means(self._own), _condition_means(self._other)
        shared = sorted(own.keys() & other.keys())
        if len(shared) < 4:
            raise NotApplicable(f"{len(shared)} conditions in both results; a rank correlation needs 4")
        pairs = [(own[name][0], other[name][0]) for name in shared]
        runs = frozenset(run for name in shared for estimate in own[name][1] for run in estimate.runs)
        seeds = {seed for _, (seed, _) in runs}
        estimate = RankCorrelation.of(pairs, runs, len(seeds))
        label = f"{self._own.dataset}, {self._other.dataset}: {len(shared)} conditions"
        return Term(label, estimate, 0.0, 1, "rho", frozenset(size for (size, _), _ in runs)).test

    def _tables(self, results: str) -> Tables:
        tables = self._results[results]
        if tables is None:
            raise NotApplicable("no results of the pre-study")
        return tables

    def _measured(self, results: str, measure: str) -> Measurements:
        """The runs of one of the tables, by one of the measures."""
        if (results, measure) not in self._measurements:
            tables = self._tables(results)
            if measure == "accuracy":
                measurements = Measurements(tables.runs, tables.predictions, these_nets=self._these_nets)
            else:
                values, step = best_iterations(tables.curves)
                measurements = Measurements(tables.runs, None, values, step, self._these_nets)
            self._measurements[results, measure] = measurements
        return self._measurements[results, measure]


def _term(
    measurements: Measurements,
    weights: dict[Cell, float],
    threshold: float,
    sign: int,
    label: str,
    unit: str = "accuracy",
) -> Term:
    estimate = measurements.estimate(weights)
    sizes = {size for size, _ in weights}
    if estimate is None:
        raise NotApplicable(f"no seed has all runs of {label} at {_listed(sizes)}")
    at = f" at {_listed(sizes)}" if len(sizes) == 1 else ""
    return Term(label + at, estimate, threshold, sign, unit, frozenset(sizes))


def _listed(sizes: Iterable[Size]) -> str:
    return ", ".join(map(str, sorted(sizes, key=size_order)))


def _conditions_at(size: Size, cells: Iterable[Cell]) -> set[str]:
    return {condition for other, condition in cells if other == size}


def _comparable_sizes(part: Comparison, cells: list[Cell]) -> list[Size]:
    """The sizes at which all conditions that the part names were measured, and of its groups two different ones."""
    named = [name for name in [part.left, *(part.some or []), *part.right] if name and name not in ("frozen", "others")]
    measured = _measured_sizes(named, part.sizes, cells, 1)
    sizes = [size for size in measured if _pairs(part, _conditions_at(size, cells))]
    if not sizes:
        raise NotApplicable("the conditions to compare were not measured")
    return sizes


def _measured_sizes(conditions: list[str], sizes: str | list[int], cells: list[Cell], least: int) -> list[Size]:
    """Those of `sizes` at which all these conditions have runs, largest first. Raises NotApplicable for too few."""
    measured = sorted({size for size, _ in cells if in_sizes(size, sizes)}, key=size_order)
    usable = [size for size in measured if all((size, condition) in cells for condition in conditions)]
    wanted = sizes if isinstance(sizes, list) else []
    if len(usable) < least or set(wanted) - set(usable):
        at = "" if sizes == "all" else f" at {_listed(wanted) if wanted else sizes} images a class"
        count = f" at {least} sizes" if least > 1 else ""
        raise NotApplicable(f"no runs of {' and '.join(conditions) or 'these conditions'}{at}{count}")
    return usable


def _pairs(part: Comparison, measured: set[str]) -> dict[str, list[str]]:
    """Each condition of the left side -> those that it is compared with: never itself, and at least one."""
    lefts = [part.left] if part.left else _expand_groups(part.some or [], measured)
    expanded = _expand_groups(part.right, measured)
    pairs = {left: [right for right in expanded if right != left] for left in lefts}
    return {left: rights for left, rights in pairs.items() if rights}


def _expand_groups(names: list[str], measured: set[str]) -> list[str]:
    """The names, with `frozen` and `others` replaced by the conditions of the thesis that were measured."""
    of_thesis = sorted((name for name in measured if Condition.of_run(name).is_of_thesis), key=condition_order)
    groups = {
        "frozen": [name for name in of_thesis if Condition.parse(name).frozen],
        "others": of_thesis,
    }
    return list(dict.fromkeys(condition for name in names for condition in groups.get(name, [name])))


def _line_weights(sizes: list[Size]) -> list[float]:
    """Weights that give the change of the least-squares line over log2(size), from the largest size to the smallest.

    The sizes are numbers.
    """
    x = -np.log2(np.array(sizes, float))
    x -= x.mean()
    return list(x / (x @ x) * (x.max() - x.min()))


def _condition_means(tables: Tables) -> dict[str, tuple[float, list[Estimate]]]:
    """Condition -> mean accuracy over the sizes at which all measured conditions of the thesis have runs, and the
    estimate at each of these sizes."""
    measurements = Measurements(tables.runs)
    conditions = sorted({name for _, name in measurements.cells if Condition.of_run(name).is_of_thesis})
    sizes = [s for s in tables.sizes if all((s, condition) in measurements.cells for condition in conditions)]
    means = {}
    for condition in conditions:
        estimates = [e for size in sizes if (e := measurements.estimate({(size, condition): 1.0}))]
        if estimates and len(estimates) == len(sizes):
            means[condition] = float(np.mean([estimate.effect for estimate in estimates])), estimates
    return means
