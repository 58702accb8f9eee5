"""Spearman's rank correlation of transferability scores with measured accuracy: the rows of scores_correlation.csv."""

from collections import defaultdict
from collections.abc import Iterable
from statistics import fmean

import numpy as np
from scipy.stats import permutation_test, rankdata

from tools.results.columns import SCORE_NAMES, Row

FEWEST = 3  # two points always lie in order or against it
RESAMPLES = 9999


def correlations(rows: Iterable[Row]) -> list[Row]:
    """A row a score and what it is held against, none where there are too few points. `rows`: those of scores.csv."""
    rows, found = list(rows), []
    sets, conditions = defaultdict(list), defaultdict(list)
    for row in rows:
        conditions[row["condition"]].append(row)
        if row["condition"] != "FTall":
            sets[row["direction"], row["size"], row["seed"]].append(row)
    for score in SCORE_NAMES:
        within = [rho(*points) for group in sets.values() if len((points := _points(group, score))[0]) >= FEWEST]
        within = [value for value in within if value is not None]
        if within:
            found.append({"score": score, "against": "depth", "rho": round(fmean(within), 4), "n": len(within)})
        for condition, group in conditions.items():
            points = _points(group, score)
            value = rho(*points) if len(points[0]) >= FEWEST else None
            if value is not None:
                p = round(p_value(*points), 4)
                found.append(
                    {"score": score, "against": condition, "rho": round(value, 4), "p": p, "n": len(points[0])}
                )
    return [{"p": None, **row} for row in found]


def _points(rows: list[Row], score: str) -> tuple[list[float], list[float]]:
    pairs = [(row[score], row["accuracy"]) for row in rows if None not in (row[score], row["accuracy"])]
    return [x for x, _ in pairs], [y for _, y in pairs]


def rho(x: list[float], y: list[float]) -> float | None:
    """Spearman's rank correlation; None where all values of one are the same."""
    ranks = np.array([rankdata(x), rankdata(y)])
    return None if (ranks.std(1) == 0).any() else float(np.corrcoef(ranks)[0, 1])


def p_value(x: list[float], y: list[float]) -> float:
    """Two-sided, of pairing the ranks at random: all pairings where they are few, else 9,999 seeded ones."""
    ranks = rankdata(y)
    ranks = (ranks - ranks.mean()) / ranks.std()

    def product(values: np.ndarray, axis: int) -> np.ndarray:
        return np.moveaxis(values, axis, -1) @ ranks

    tested = permutation_test(
        (rankdata(x),), product, permutation_type="pairings", n_resamples=RESAMPLES, vectorized=True, rng=0
    )
    return float(tested.pvalue)
