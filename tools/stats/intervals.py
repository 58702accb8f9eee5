"""How sure a mean, or a difference of means, is: the one place where an interval or a p-value is made.

What is estimated is always a contrast: a weighted sum of the mean accuracies of cells, a cell being a size and a
condition. {(300, "S3T"): 1} is a mean, {(300, "S3T"): 1, (300, "base"): -1} a difference, and so is the slope of a gap
over the sizes.

The seed is the unit. Runs are not independent: a seed's two directions share the split, its sizes are nested, its
conditions copy from the same source nets and are scored on the same images. All of that stays within a seed; between
two seeds nothing is shared but the data set. So the contrast is computed within each seed, over the mean of its
directions, and the seeds' values are taken as independent draws: their mean, and Student's t with seeds - 1 degrees of
freedom. A seed counts only if it has all of the contrast's runs. Accuracies come in steps of one validation image, and
two seeds may agree by chance: their spread is never taken to be less than that rounding.

With one seed that is impossible. What can be told then is told of these very nets: the contrast is computed for each
validation image (a pair of conditions by the pair of its predictions, as McNemar's test does), and its mean over the
images, stratified by direction, has a normal interval. It says how far other images of the same classes would move the
result. It says nothing of another split, draw or start, and no claim is decided by it. Asked of the nets of several
seeds, which are scored on images that they may share, it is as wide as if they shared all. docs/statistics.md has the
measured coverage of both.
"""

import math
from collections import defaultdict
from dataclasses import dataclass

import numpy as np
from scipy import stats

from tools.results.columns import Row, label_key, run_key

Cell = tuple[int | str, str]  # size, condition
LEVEL = 0.95


@dataclass(frozen=True)
class Estimate:
    """A contrast: its effect, and how sure it is."""

    effect: float
    se: float  # NaN where nothing can be said
    df: float  # seeds - 1; infinite for images
    unit: str  # seeds, images, or `` where there is one seed and no predictions
    seeds: int
    runs: frozenset  # (cell, (seed, direction)) of each

    @property
    def interval(self) -> tuple[float, float]:
        """95 %; NaN, NaN where nothing can be said."""
        return self.interval_at(LEVEL)

    def interval_at(self, level: float) -> tuple[float, float]:
        reach = stats.t.ppf(0.5 + level / 2, self.df) * self.se if self.df > 0 else math.nan
        return self.effect - reach, self.effect + reach

    def p_above(self, threshold: float = 0.0) -> float:
        """One-sided, of the null hypothesis that the true effect is `threshold` or less. NaN as above."""
        return self._tail(self.effect - threshold)

    def p_below(self, threshold: float = 0.0) -> float:
        """One-sided, of the null hypothesis that the true effect is `threshold` or more."""
        return self._tail(threshold - self.effect)

    def _tail(self, distance: float) -> float:
        if not self.df > 0:
            return math.nan
        if self.se == 0:
            return 0.5 if distance == 0 else float(distance < 0)
        return float(stats.t.sf(distance / self.se, self.df))


class Measured:
    """The ok runs of a results table, ready for contrasts.

    rows: of runs.csv. predictions: as in predictions.npz. values: what is estimated, by the run's key, where it is not
    the accuracy; then there is no estimate from images. resolution: the step in which values come, if not given that of
    accuracies: uniform rounding bounds their standard deviation from below. these_nets: estimate by images even where
    there are seeds.
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
        self._values: dict[Cell, dict[tuple[int, str], float]] = defaultdict(dict)
        self._correct: dict[Cell, dict[tuple[int, str], np.ndarray]] = defaultdict(dict)
        for row in rows:
            key = run_key(row)
            if row["status"] != "ok" or (values is not None and key not in values):
                continue
            cell, place = (row["size"], row["condition"]), (row["seed"], row["direction"])
            self._values[cell][place] = row["accuracy"] if values is None else values[key]
            if values is None and predictions and key in predictions:
                labels = predictions[label_key(key)]
                self._correct[cell][place] = labels == predictions[key]
        self._floor = (self._step() if resolution is None else resolution) / math.sqrt(12)

    def _step(self) -> float:
        """One image of the smallest validation set; without predictions the least distance of two accuracies."""
        images = [len(right) for places in self._correct.values() for right in places.values()]
        if images:
            return 1 / min(images)
        values = np.unique([round(value, 8) for places in self._values.values() for value in places.values()])
        return float(np.diff(values).min()) if len(values) > 1 else 0.0

    @property
    def cells(self) -> list[Cell]:
        return list(self._values)

    def seeds(self, weights: dict[Cell, float]) -> dict[int, float]:
        """The contrast of every seed that has all of its runs: the mean over the directions."""
        directions = self._directions(weights)
        found = {}
        for seed in sorted({seed for cell in weights for seed, _ in self._values.get(cell, {})}):
            places = [(seed, direction) for direction in directions]
            if places and all(place in self._values[cell] for cell in weights for place in places):
                means = {cell: sum(self._values[cell][place] for place in places) / len(places) for cell in weights}
                found[seed] = sum(weight * means[cell] for cell, weight in weights.items())
        return found

    def estimate(self, weights: dict[Cell, float]) -> Estimate | None:
        """None where no seed has all of the contrast's runs."""
        values = self.seeds(weights)
        if not values:
            return None
        directions = self._directions(weights)
        runs = frozenset((cell, (seed, direction)) for cell in weights for seed in values for direction in directions)
        if len(values) == 1 or self._these_nets:
            return self._by_images(weights, values, runs)
        every = np.array(list(values.values()))
        sd = max(every.std(ddof=1), self._floor)
        return Estimate(float(every.mean()), sd / math.sqrt(len(every)), len(every) - 1, "seeds", len(every), runs)

    def _by_images(self, weights: dict[Cell, float], seeds: dict[int, float], runs: frozenset) -> Estimate:
        """The seeds' nets as they are, and the images a sample of all images: stratified by direction."""
        directions = self._directions(weights)
        effect = float(np.mean(list(seeds.values())))
        places = {(seed, direction) for seed in seeds for direction in directions}
        if any(places - self._correct[cell].keys() for cell in weights):
            return Estimate(effect, math.nan, math.nan, "", len(seeds), runs)
        errors = []
        for seed in seeds:
            variance = 0.0
            for direction in directions:
                image = sum(w * self._correct[cell][seed, direction].astype(float) for cell, w in weights.items())
                variance += image.var(ddof=1) / len(image) / len(directions) ** 2
            errors.append(math.sqrt(variance))
        return Estimate(effect, float(np.mean(errors)), math.inf, "images", len(seeds), runs)

    def _directions(self, weights: dict[Cell, float]) -> list[str]:
        """Those that every cell has at all: source nets exist in a direction that is not selected, too."""
        each = [{direction for _, direction in self._values.get(cell, {})} for cell in weights]
        return sorted(set.intersection(*each))
