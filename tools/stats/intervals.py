"""The uncertainty of means and of their differences. All intervals and p-values of accuracies are computed here.

The estimated quantity is always a contrast: a weighted sum of mean accuracies of cells. A cell is a size and a
condition. {(300, "S3T"): 1} is a mean and {(300, "S3T"): 1, (300, "base"): -1} is a difference. The slope of a gap over
the sizes is a contrast too.

The unit of observation is the seed. Runs are not independent: the two directions of a seed share the split, its sizes
are nested, its conditions copy from the same source nets and are scored on the same images. All of this stays within a
seed. Two seeds share nothing but the data set. So the contrast is computed within each seed, as the mean over its
directions, and the values of the seeds are treated as independent draws: their mean, with Student's t of seeds - 1
degrees of freedom. A seed counts only if it has all runs of the contrast. Accuracies come in steps of one validation
image, so two seeds may agree by chance: their standard deviation is never taken to be less than that of this rounding.

With one seed this is impossible. Then the estimate is about these very nets: the contrast is computed for each
validation image (for two conditions from the pair of predictions, as in McNemar's test), and its mean over the images,
stratified by direction, has a normal interval. It says how far other images of the same classes would move the result.
It says nothing about another split, draw or initialization, and no claim is decided by it. For the nets of several
seeds, which may share images, it is as wide as if they shared all of them. docs/statistics.md has the measured coverage
of both.
"""

import math
from collections import defaultdict
from collections.abc import Collection
from dataclasses import dataclass

import numpy as np
from scipy import stats

from tools.protocol.layout import Direction, Size
from tools.results.columns import Row, label_key, run_key, size_order

Cell = tuple[Size, str]  # size, condition
Replicate = tuple[int, Direction]  # seed, direction: a cell has one run for each
LEVEL = 0.95


def without_source_nets(rows: list[Row]) -> list[Row]:
    """The rows of runs.csv without those of a direction in which nothing but `base` at the largest size was run, where
    the other direction has more: they are the source nets of that one, and no results of a direction of their own."""
    largest = min((row["size"] for row in rows), key=size_order, default=None)
    selected = {row["direction"] for row in rows if (row["size"], row["condition"]) != (largest, "base")}
    return [row for row in rows if row["direction"] in selected] if selected else rows


@dataclass(frozen=True)
class Estimate:
    """The estimate of a contrast, and its uncertainty."""

    effect: float
    se: float  # standard error; NaN if unknown
    df: float  # seeds - 1; infinite for images
    unit: str  # seeds, images, or empty if there is one seed and no predictions
    seeds: int
    runs: frozenset[tuple[Cell, Replicate]]

    @property
    def interval(self) -> tuple[float, float]:
        """The 95 % interval; (NaN, NaN) if the standard error is unknown."""
        return self.interval_at(LEVEL)

    def interval_at(self, level: float) -> tuple[float, float]:
        reach = stats.t.ppf(0.5 + level / 2, self.df) * self.se if self.df > 0 else math.nan
        return self.effect - reach, self.effect + reach

    def p_above(self, threshold: float = 0.0) -> float:
        """One-sided p-value of the null hypothesis that the true effect is at most `threshold`. May be NaN as above."""
        return self._tail(self.effect - threshold)

    def p_below(self, threshold: float = 0.0) -> float:
        """One-sided p-value of the null hypothesis that the true effect is at least `threshold`."""
        return self._tail(threshold - self.effect)

    def _tail(self, distance: float) -> float:
        if not self.df > 0:
            return math.nan
        if self.se == 0:
            return 0.5 if distance == 0 else float(distance < 0)
        return float(stats.t.sf(distance / self.se, self.df))


@dataclass(frozen=True)
class Sample:
    """The means of several cells, and how they vary together.

    mean: (cells,). root: (rows, cells); root.T @ root is the covariance of the means. No rows: it is unknown.
    """

    mean: np.ndarray
    root: np.ndarray
    df: float  # seeds - 1; infinite for images
    unit: str  # seeds, images, or empty as above
    seeds: list[int]

    @property
    def covariance(self) -> np.ndarray:
        return self.root.T @ self.root

    def draws(self, count: int, random: np.random.RandomState) -> np.ndarray:
        """`count` random vectors of means, (count, cells): a bootstrap over the seeds, or over the images.

        Each seed's distance to the mean gets a random weight of the normal distribution, and the sum is scaled as in
        Student's t with `df` degrees of freedom. So the quantiles of any contrast of the draws are the ends of the
        interval that `Estimate` gives. Seeds drawn with replacement would give intervals that are too short:
        docs/statistics.md has the measured coverage of both.
        """
        noise = random.normal(size=(count, len(self.root))) @ self.root
        if math.isfinite(self.df):
            noise /= np.sqrt(random.chisquare(self.df, size=(count, 1)) / self.df)
        return self.mean + noise


class Measurements:
    """The `ok` runs of a results table, for the estimation of contrasts.

    rows: the rows of runs.csv.
    predictions: the arrays of predictions.npz.
    values: run key -> the value to estimate, if it is not the accuracy. Then there is no estimate by images.
    resolution: the step between possible values; by default that of accuracies. Rounding to it gives the least standard
    deviation.
    these_nets: estimate by images even if there are several seeds.
    """

    def __init__(
        self,
        rows: list[Row],
        predictions: dict[str, np.ndarray] | None = None,
        values: dict[str, float] | None = None,
        resolution: float | None = None,
        these_nets: bool = False,
    ) -> None:
        self._these_nets = these_nets
        self._values: dict[Cell, dict[Replicate, float]] = defaultdict(dict)
        self._lost: dict[Cell, set[Direction]] = defaultdict(set)  # the directions of runs that have no value
        self._correct: dict[Cell, dict[Replicate, np.ndarray]] = defaultdict(dict)
        for row in without_source_nets(rows):
            key, cell, replicate = run_key(row), (row["size"], row["condition"]), (row["seed"], row["direction"])
            if row["status"] != "ok" or (values is not None and key not in values):
                self._lost[cell].add(replicate[1])
                continue
            self._values[cell][replicate] = row["accuracy"] if values is None else values[key]
            if values is None and predictions and key in predictions:
                labels = predictions[label_key(key)]
                self._correct[cell][replicate] = labels == predictions[key]
        self._least_sd = (self._step() if resolution is None else resolution) / math.sqrt(12)

    def _step(self) -> float:
        """One image of the smallest validation set; without predictions the least distance between two accuracies."""
        images = [len(correct) for replicates in self._correct.values() for correct in replicates.values()]
        if images:
            return 1 / min(images)
        values = np.unique([round(value, 8) for replicates in self._values.values() for value in replicates.values()])
        return float(np.diff(values).min()) if len(values) > 1 else 0.0

    @property
    def cells(self) -> list[Cell]:
        return list(self._values)

    def by_seed(self, weights: dict[Cell, float]) -> dict[int, float]:
        """Seed -> the contrast, as the mean over the directions, for every seed that has all runs of the contrast."""
        means = self._means(weights)
        return {seed: sum(weights[cell] * mean for cell, mean in of.items()) for seed, of in means.items()}

    def _means(self, cells: Collection[Cell]) -> dict[int, dict[Cell, float]]:
        """Seed -> cell -> the mean over the directions, for every seed that has all runs of all cells."""
        directions = self._directions(cells)
        means = {}
        for seed in sorted({seed for cell in cells for seed, _ in self._values.get(cell, {})}):
            runs = [(seed, direction) for direction in directions]
            if runs and all(run in self._values[cell] for cell in cells for run in runs):
                means[seed] = {cell: sum(self._values[cell][run] for run in runs) / len(runs) for cell in cells}
        return means

    def sample(self, cells: list[Cell]) -> Sample | None:
        """The means of all cells over the seeds that have all their runs; None if there is no such seed.

        They vary over the seeds, or with one seed over the images, stratified by direction.
        """
        by_seed = self._means(cells)
        if not by_seed:
            return None
        values = np.array([[means[cell] for cell in cells] for means in by_seed.values()])
        mean, count, seeds = values.mean(axis=0), len(values), list(by_seed)
        if count > 1:
            root = (values - mean) / math.sqrt(count * (count - 1))
            lacking = np.maximum(self._least_sd**2 / count - (root**2).sum(axis=0), 0.0)
            return Sample(mean, np.vstack([root, np.diag(np.sqrt(lacking))]), count - 1, "seeds", seeds)
        directions = self._directions(cells)
        runs = [(seeds[0], direction) for direction in directions]
        if any(run not in self._correct[cell] for cell in cells for run in runs):
            return Sample(mean, np.empty((0, len(cells))), math.nan, "", seeds)
        covariance = np.zeros((len(cells), len(cells)))
        for run in runs:
            correct = np.stack([self._correct[cell][run] for cell in cells], axis=1).astype(float)
            covariance += np.cov(correct, rowvar=False) / len(correct) / len(runs) ** 2
        variances, vectors = np.linalg.eigh(covariance)
        root = (vectors * np.sqrt(np.maximum(variances, 0.0))).T
        return Sample(mean, root, math.inf, "images", seeds)

    def estimate(self, weights: dict[Cell, float]) -> Estimate | None:
        """The estimate of the contrast; None if no seed has all of its runs."""
        values = self.by_seed(weights)
        if not values:
            return None
        directions = self._directions(weights)
        runs = frozenset((cell, (seed, direction)) for cell in weights for seed in values for direction in directions)
        if len(values) == 1 or self._these_nets:
            return self._by_images(weights, values, runs)
        contrasts = np.array(list(values.values()))
        count = len(contrasts)
        sd = max(contrasts.std(ddof=1), self._least_sd)
        return Estimate(float(contrasts.mean()), sd / math.sqrt(count), count - 1, "seeds", count, runs)

    def _by_images(
        self, weights: dict[Cell, float], seeds: dict[int, float], runs: frozenset[tuple[Cell, Replicate]]
    ) -> Estimate:
        """The estimate for these nets, with the images as a sample of all images, stratified by direction."""
        directions = self._directions(weights)
        effect = float(np.mean(list(seeds.values())))
        replicates = {(seed, direction) for seed in seeds for direction in directions}
        if any(replicates - self._correct[cell].keys() for cell in weights):
            return Estimate(effect, math.nan, math.nan, "", len(seeds), runs)
        errors = []
        for seed in seeds:
            variance = 0.0
            for direction in directions:
                terms = (w * self._correct[cell][seed, direction].astype(float) for cell, w in weights.items())
                image = np.asarray(sum(terms))
                variance += image.var(ddof=1) / len(image) / len(directions) ** 2
            errors.append(math.sqrt(variance))
        return Estimate(effect, float(np.mean(errors)), math.inf, "images", len(seeds), runs)

    def _directions(self, cells: Collection[Cell]) -> list[Direction]:
        """The directions in which all cells were trained. A source net may exist in a direction that is not selected.

        Runs that are not `ok` count here: if all of a direction are lost, no seed has all runs of the contrast.
        """
        values, lost = self._values, self._lost
        of_cells = [{of for _, of in values.get(cell, {})} | lost.get(cell, set()) for cell in cells]
        return sorted(set.intersection(*of_cells))
