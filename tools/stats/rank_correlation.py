"""Spearman's rank correlation: its interval, and the rows of scores_correlation.csv (scores against accuracy)."""

import math
from collections import defaultdict
from collections.abc import Iterable
from statistics import fmean

import numpy as np
from scipy.stats import norm, permutation_test, rankdata, spearmanr, t

from tools.results.columns import CORRELATION_COLUMNS, SCORE_NAMES, Row, row_of
from tools.stats.intervals import Cell, Estimate, Replicate

LEAST_POINTS = 3  # two points always have a rank correlation of 1 or -1
RESAMPLES = 9999

Points = tuple[list[float], list[float]]  # scores, accuracies


def correlations(rows: Iterable[Row]) -> list[Row]:
    """The correlations from the rows of scores.csv; pairs with too few points give no row.

    against `depth`: the mean over target sets of the correlation among the conditions SnT of a set; no p-value. Its
    interval is Student's t over the seeds, whose sets share source nets: a seed's value is the mean over its sets.
    against a condition: the correlation among the target sets.
    """
    by_set, by_condition = defaultdict(list), defaultdict(list)
    for row in rows:
        by_condition[row["condition"]].append(row)
        if row["condition"] != "FTall":
            by_set[row["direction"], row["size"], row["seed"]].append(row)
    lines: list[Row] = []
    for score in SCORE_NAMES:
        of_seed: dict[int, list[float]] = defaultdict(list)
        for (_, _, seed), group in by_set.items():
            if (value := rho(*_points(group, score))) is not None:
                of_seed[seed].append(value)
        if of_seed:
            lines.append(_line_of_depths(score, of_seed))
        for condition, group in by_condition.items():
            points = _points(group, score)
            if (value := rho(*points)) is not None:
                seeds = {row["seed"] for row in group if None not in (row[score], row["accuracy"])}
                facts = {"p": round(p_value(*points), 4), "n": len(points[0]), "seeds": len(seeds)}
                line = row_of(CORRELATION_COLUMNS, score=score, against=condition, rho=round(value, 4), **facts)
                lines.append(line)
    return lines


def _line_of_depths(score: str, of_seed: dict[int, list[float]]) -> Row:
    means = [fmean(values) for values in of_seed.values()]
    row = row_of(
        CORRELATION_COLUMNS,
        score=score,
        against="depth",
        rho=round(fmean(value for values in of_seed.values() for value in values), 4),
        n=sum(map(len, of_seed.values())),
        seeds=len(of_seed),
    )
    if len(means) > 1:
        reach = float(t.ppf(0.975, len(means) - 1) * np.std(means, ddof=1)) / math.sqrt(len(means))
        middle = fmean(means)
        row |= {"low": round(max(-1.0, middle - reach), 4), "high": round(min(1.0, middle + reach), 4)}
    return row


def _points(rows: list[Row], score: str) -> Points:
    complete = [row for row in rows if None not in (row[score], row["accuracy"])]
    return [row[score] for row in complete], [row["accuracy"] for row in complete]


def rho(x: list[float], y: list[float]) -> float | None:
    """Spearman's rank correlation; None for fewer than three points, and if all values of `x` or of `y` are equal."""
    if len(x) < LEAST_POINTS or len(set(x)) == 1 or len(set(y)) == 1:
        return None
    return float(spearmanr(x, y).statistic)


def p_value(x: list[float], y: list[float]) -> float:
    """Two-sided, by permutation of the pairing: all pairings if there are few, else 9,999 random ones with a seed."""
    ranks = rankdata(y)
    ranks = (ranks - ranks.mean()) / ranks.std()

    def product(values: np.ndarray, axis: int) -> np.ndarray:
        return np.moveaxis(values, axis, -1) @ ranks

    result = permutation_test(
        (rankdata(x),), product, permutation_type="pairings", n_resamples=RESAMPLES, vectorized=True, rng=0
    )
    return float(result.pvalue)


class RankCorrelation(Estimate):
    """Spearman's rho as an estimate; `se` is that of atanh(rho)."""

    @classmethod
    def of(
        cls, pairs: list[tuple[float, float]], runs: frozenset[tuple[Cell, Replicate]], seeds: int
    ) -> "RankCorrelation":
        """By Fisher's z with Bonett and Wright's standard error (Psychometrika 65, 2000)."""
        value = float(spearmanr(np.array(pairs)).statistic)
        se = math.sqrt((1 + value**2 / 2) / (len(pairs) - 3))
        return cls(value, se, math.inf, "conditions", seeds, runs)

    def interval_at(self, level: float) -> tuple[float, float]:
        reach, z = norm.ppf(0.5 + level / 2) * self.se, self._z(self.effect)
        return min(self.effect, float(np.tanh(z - reach))), max(self.effect, float(np.tanh(z + reach)))

    def _tail(self, distance: float) -> float:
        """Not below the share of the one order among all, which is what a perfect one comes to by chance."""
        return max(float(norm.sf(self._z(distance) / self.se)), 1 / math.factorial(self._pairs))

    def _z(self, rho: float) -> float:
        """atanh; of 1 and -1, which have none, that of the middle between them and the next value that rho can have."""
        largest = 1 - 6 / (self._pairs * (self._pairs**2 - 1))
        return float(np.arctanh(np.clip(rho, -largest, largest)))

    @property
    def _pairs(self) -> int:
        return round(3 + (1 + self.effect**2 / 2) / self.se**2)
