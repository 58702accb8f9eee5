"""Whether nets were still learning when their training ended, or past their best: from their validation loss.

It is asked of the mean curve of a cell's runs, which is less noisy than a single one.
"""

from collections import defaultdict
from collections.abc import Iterable

import numpy as np

from tools.results.columns import Row

LEARNING, PAST_BEST, FLAT = "learning", "past best", "flat"
LAST = 0.2  # share of the training that is looked at
LEAST_CHANGE = 0.01  # share of the loss; a smaller change counts as none

Curve = dict[int, float]  # iteration -> validation loss


def validation_curves(curves: Iterable[Row]) -> dict[str, Curve]:
    """Run key -> its validation losses after iteration 0, from the rows of curves.csv."""
    of_run: dict[str, Curve] = defaultdict(dict)
    for row in curves:
        if row["validation_loss"] is not None and row["iteration"]:
            of_run[row["run"]][row["iteration"]] = row["validation_loss"]
    return dict(of_run)


def learning_state(curves: list[Curve]) -> str | None:
    """The state of several runs of the same length at their end, from their mean curve.

    past best: the mean loss was lowest before the last fifth of the training, and ended more than 1 % above that.
    learning: it fell by more than 1 % over the last fifth (least-squares line through its tests).
    flat: neither. None: no test between iteration 0 and the last fifth, so nothing can be said.
    """
    shared = sorted(set.intersection(*map(set, curves))) if curves else []
    if len(shared) < 2:
        return None
    mean = {iteration: float(np.mean([curve[iteration] for curve in curves])) for iteration in shared}
    end = shared[-1]
    before = [iteration for iteration in shared if iteration <= (1 - LAST) * end]
    if not before or not np.isfinite(list(mean.values())).all():
        return None
    if min(mean[iteration] for iteration in before) * (1 + LEAST_CHANGE) < mean[end]:
        return PAST_BEST
    window = [before[-1], *(iteration for iteration in shared if iteration > before[-1])]
    losses = [mean[iteration] for iteration in window]
    slope, middle = np.polyfit(np.subtract(window, np.mean(window)), losses, 1)
    fall = -slope * LAST * end
    return LEARNING if fall > LEAST_CHANGE * middle else FLAT
