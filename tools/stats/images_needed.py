"""How many images a class a condition needs to reach an accuracy, and which condition needs the fewest.

For each condition two learning curves (tools/stats/learning_curve.py) are fitted to its mean errors at the measured
sizes, weighted with the inverse of the variance there, and solved for the target. All means are of the same seeds and
directions. The uncertainty is a bootstrap over the seeds (`Sample.draws`): in each draw all conditions get the same
weights for the seeds, and all curves are fitted again. The 95 % interval reaches from the lower end of either family to
the upper end of either: it covers that the form of the curve is unknown. With one seed the draws are over validation
images. Then the interval is about these very nets, and too narrow for others.

A condition is refused, with the reason, if it has fewer than three sizes, or fewer than half of the seeds and
directions of the others; or if its accuracy falls from a size to a larger one by more than noise explains (one-sided t,
5 % divided by the number of steps), or does not rise at all. The variance of this noise is what is left between sizes
once each seed's own level is taken away, over all conditions together.
"""

import math
from collections import defaultdict
from dataclasses import dataclass

import numpy as np
from scipy import stats

from tools.common.errors import UserError
from tools.protocol.conditions import SOURCE
from tools.protocol.layout import Direction
from tools.results.columns import condition_order
from tools.results.tables import Tables
from tools.stats.intervals import LEVEL, Cell, Measurements, Replicate, Sample
from tools.stats.learning_curve import EXPONENTIAL, LEAST_SIZES, POWER, Curves, Family, fit, smooth_variances

DRAWS = 4000
FAR = 10  # times the largest size: beyond it no number of images is given
FAMILIES = (POWER, EXPONENTIAL)

Interval = tuple[float, float]


@dataclass(frozen=True)
class Needed:
    """Images a class that a condition needs; inf: more than FAR times the largest size, or no number is enough."""

    condition: str
    sizes: list[int]
    images: float  # by the power law
    by_exponential: float
    draws: list[np.ndarray]  # the same of each draw, by family; empty without an interval
    dips: bool  # the accuracy falls between two sizes, but not by more than noise explains
    foretold: list[float | None]  # by family: accuracy at the largest size, from the smaller ones, minus the measured

    @property
    def interval(self) -> Interval:
        return _hull(self.draws, LEVEL)


@dataclass(frozen=True)
class Answer:
    needed: list[Needed]  # the fewest images first
    refused: dict[str, str]  # condition -> why
    unit: str  # seeds, images, or empty: no interval
    seeds: list[int]
    directions: list[Direction]

    def later(self, condition: str, than: str) -> tuple[float, float, float]:
        """How many more images `condition` needs, with the interval corrected for the number of comparisons.

        inf, -inf: one of the two does not get there; NaN: neither does.
        """
        of = {needed.condition: needed for needed in self.needed}
        one, other = of[condition], of[than]
        differences = [_minus(a, b) for a, b in zip(one.draws, other.draws, strict=True)]
        level = 1 - (1 - LEVEL) / max(len(self.needed) - 1, 1)
        # Where neither gets there, the difference may be anything.
        low, _ = _hull([np.nan_to_num(of, nan=-np.inf, posinf=np.inf, neginf=-np.inf) for of in differences], level)
        _, high = _hull([np.nan_to_num(of, nan=np.inf, posinf=np.inf, neginf=-np.inf) for of in differences], level)
        return float(_minus(np.array(one.images), np.array(other.images))), low, high


def images_needed(tables: Tables, target: float, draws: int = DRAWS) -> Answer:
    """The answer for an accuracy of `target`, between 0 and 1.

    Raises UserError if every condition is refused, which lists the reasons, or if no seed has the runs.
    """
    sizes, replicates, refused = _usable(tables)
    rows = [row for row in tables.runs if (row["seed"], row["direction"]) in replicates]
    cells: list[Cell] = [(size, condition) for condition, of in sizes.items() for size in of]
    sample = Measurements(rows, tables.predictions).sample(cells) if cells else None
    if sample is None:
        refused |= dict.fromkeys(sizes, f"no seed has all runs of {', '.join(sizes)}")
        raise UserError("\n".join([f"{tables.folder}: no condition has an answer", *_listed(refused)]))
    noise = _noise(sample, sizes)
    drawn = sample.draws(draws, np.random.RandomState(0)) if sample.unit else np.empty((0, len(cells)))
    needed, start = [], 0
    for condition, of in sizes.items():
        columns = slice(start, start + len(of))
        start += len(of)
        variances = np.array([noise[size] for size in of])
        if reason := _falls(of, sample.mean[columns], variances, sample):
            refused[condition] = reason
        else:
            needed.append(_needed(condition, of, sample.mean[columns], variances, drawn[:, columns], target))
    if not needed:
        raise UserError("\n".join([f"{tables.folder}: no condition has an answer", *_listed(refused)]))
    needed.sort(key=lambda one: (one.images, condition_order(one.condition)))
    directions = sorted({direction for seed, direction in replicates if seed in sample.seeds})
    return Answer(needed, refused, sample.unit, sample.seeds, directions)


def _needed(
    condition: str, sizes: list[int], accuracies: np.ndarray, variances: np.ndarray, draws: np.ndarray, target: float
) -> Needed:
    """accuracies, variances: (sizes,). draws: (draws, sizes), no rows without an interval."""

    def images(errors: np.ndarray, family: Family) -> np.ndarray:
        found = _fits(sizes, errors, variances, family).images(1 - target)
        return np.where(found > FAR * sizes[-1], np.inf, found)

    by_power, by_exponential = (float(images(1 - accuracies[None], family)[0]) for family in FAMILIES)
    of_draws = [images(np.clip(1 - draws, 0.0, 1.0), family) for family in FAMILIES] if len(draws) else []
    dips, foretold = bool((np.diff(accuracies) < 0).any()), _foretold(sizes, accuracies, variances)
    return Needed(condition, sizes, by_power, by_exponential, of_draws, dips, foretold)


def _usable(tables: Tables) -> tuple[dict[str, list[int]], set[Replicate], dict[str, str]]:
    """Condition -> its sizes, ascending; the seeds and directions that all of them have; refused conditions.

    A size that a condition has in less than half of its seeds and directions is not one of its sizes.
    """
    places: dict[str, dict[int, set[Replicate]]] = defaultdict(lambda: defaultdict(set))
    for row in tables.runs:
        if row["condition"] != SOURCE and isinstance(row["size"], int):
            found = places[row["condition"]][row["size"]]
            if row["status"] == "ok":
                found.add((row["seed"], row["direction"]))
    sizes, common, refused = {}, {}, {}
    for condition in sorted(places, key=condition_order):
        most = max(map(len, places[condition].values()))
        of = sorted(size for size, found in places[condition].items() if found and 2 * len(found) >= most)
        if len(of) < LEAST_SIZES:
            names = f"{' and '.join(map(str, of))} images a class" if of else "no size"
            refused[condition] = f"measured at {names}; a curve needs three sizes"
            continue
        sizes[condition], common[condition] = of, set.intersection(*(places[condition][size] for size in of))
    most = max(map(len, common.values()), default=0)
    for condition, found in common.items():
        if 2 * len(found) < most or not found:
            refused[condition] = f"only {len(found)} of {most} seeds and directions have all of its runs"
            del sizes[condition]
    shared = [common[condition] for condition in sizes]
    return sizes, set.intersection(*shared) if shared else set(), refused


def _noise(sample: Sample, sizes: dict[str, list[int]]) -> dict[int, float]:
    """Size -> the variance of a mean there, without what all sizes of a seed share; 0 if it is unknown."""
    found = defaultdict(list)
    covariance, start = sample.covariance, 0
    for of in sizes.values():
        count = len(of)
        centre = np.eye(count) - 1 / count
        block = centre @ covariance[start : start + count, start : start + count] @ centre
        for size, variance in zip(of, np.diag(block) * count / (count - 1), strict=True):
            found[size].append(variance)
        start += count
    measured = sorted(found)
    smooth = smooth_variances(np.array(measured, float), np.array([np.mean(found[size]) for size in measured]))
    return dict(zip(measured, map(float, smooth), strict=True))


def _fits(sizes: list[int], errors: np.ndarray, variances: np.ndarray, family: Family) -> Curves:
    weights = 1 / variances if (variances > 0).all() else np.ones(len(sizes))
    return fit(family, np.array(sizes, float), errors, weights / weights.sum())


def _foretold(sizes: list[int], accuracies: np.ndarray, variances: np.ndarray) -> list[float | None]:
    """By family: accuracy at the largest size as the smaller sizes foretell it, minus the measured one."""
    found: list[float | None] = []
    for family in FAMILIES:
        if len(sizes) == LEAST_SIZES and family is EXPONENTIAL:
            found.append(None)
            continue
        curves = _fits(sizes[:-1], 1 - accuracies[None, :-1], variances[:-1], family)
        found.append(float(1 - curves.errors(sizes[-1])[0] - accuracies[-1]))
    return found


def _falls(sizes: list[int], accuracies: np.ndarray, variances: np.ndarray, sample: Sample) -> str:
    """Why the curve does not rise, or nothing. The largest fall from a size to a larger one is compared with noise."""
    df = (len(sample.seeds) - 1) * (len(sizes) - 1) if sample.unit == "seeds" else math.inf
    best = np.maximum.accumulate(accuracies)
    before = np.array([int(np.argmax(accuracies[: at + 1])) for at in range(len(sizes))])
    reach = stats.t.ppf(1 - (1 - LEVEL) / (len(sizes) - 1), df) * np.sqrt(variances + variances[before])
    beyond = best - accuracies - reach
    at = int(beyond.argmax())
    if beyond[at] > 1e-12:
        ends = f"from {best[at]:.4f} at {sizes[before[at]]} to {accuracies[at]:.4f} at {sizes[at]} images a class"
        explained = (
            f"noise explains a fall of at most {reach[at]:.4f}" if sample.unit else "how much is noise is unknown"
        )
        return f"its accuracy falls {ends}; {explained}"
    if not _fits(sizes, 1 - accuracies[None], variances, POWER).b[0] > 0:
        return "its accuracy does not rise with the number of images"
    return ""


def _minus(one: np.ndarray, other: np.ndarray) -> np.ndarray:
    """The difference; NaN where both are inf."""
    return np.subtract(one, other, where=~(np.isinf(one) & np.isinf(other)), out=np.full_like(one, np.nan))


def _hull(draws: list[np.ndarray], level: float) -> Interval:
    """The lowest lower and the highest upper end of the central intervals; (NaN, NaN) without draws."""
    if not draws:
        return math.nan, math.nan
    ends = [np.quantile(of, [0.5 - level / 2, 0.5 + level / 2], method="inverted_cdf") for of in draws]
    return float(min(low for low, _ in ends)), float(max(high for _, high in ends))


def _listed(refused: dict[str, str]) -> list[str]:
    return [f"  {condition}: {reason}" for condition, reason in refused.items()]
