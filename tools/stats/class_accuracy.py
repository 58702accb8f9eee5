"""The accuracy of each class by size and condition, and which classes gain or lose over `base`.

A seed has each of its classes in one half, so one direction of a seed scores it. The estimate of a gain is, as for
accuracies (tools/stats/intervals.py), over the seeds that have the class: Student's t; of a class that one seed has,
over its validation images, paired. Many classes are looked at, and some of them gain by chance. So the interval of each
is a simultaneous one: its level is 1 - 0.05 / (number of classes) (Bonferroni), and with 95 % probability all intervals
of a size and condition cover their true gains.
"""

import math
from collections import defaultdict
from collections.abc import Iterable

import numpy as np
from scipy import stats

from tools.protocol.layout import Size
from tools.results.columns import (
    CLASS_COLUMNS,
    Row,
    classes_key,
    condition_order,
    label_key,
    row_of,
    run_key,
    size_order,
)

ERROR_LEVEL = 0.05  # of all classes together

Correct = dict[str, dict[int, np.ndarray]]  # class id -> seed -> for each of its images whether it was recognized


def class_rows(rows: list[Row], predictions: dict[str, np.ndarray]) -> list[Row]:
    """The rows of classes.csv from those of runs.csv: sizes and conditions as in summary.csv, classes by id.

    Runs that are not ok, and those whose predictions or class ids are not in `predictions`, are left out.
    """
    cells: dict[tuple[Size, str], Correct] = defaultdict(lambda: defaultdict(dict))
    for row in rows:
        key = run_key(row)
        if row["status"] == "ok" and key in predictions and classes_key(key) in predictions:
            label, predicted = predictions[label_key(key)], predictions[key]
            for number, name in enumerate(predictions[classes_key(key)]):
                of_class = label == number
                cells[row["size"], row["condition"]][str(name)][row["seed"]] = (predicted == label)[of_class]
    table = []
    for size, condition in sorted(cells, key=lambda cell: (size_order(cell[0]), condition_order(cell[1]))):
        correct, base = cells[size, condition], cells.get((size, "base"), {})
        compared = [name for name in correct if condition != "base" and _shared(correct[name], base.get(name, {}))]
        for name in sorted(correct):
            of_seeds = list(correct[name].values())
            row = row_of(
                CLASS_COLUMNS,
                **{"class": name},
                size=size,
                condition=condition,
                n=len(of_seeds),
                images=sum(map(len, of_seeds)),
                accuracy=round(float(np.mean([np.mean(images) for images in of_seeds])), 6),
            )
            table.append(row | (_gain(correct[name], base[name], len(compared)) if name in compared else {}))
    return table


def gains(rows: Iterable[Row], size: Size, condition: str) -> list[Row]:
    """The rows of classes.csv of one size and condition that have a gain, the largest gain first."""
    chosen = [row for row in rows if (row["size"], row["condition"]) == (size, condition) and row["gain"] is not None]
    return sorted(chosen, key=lambda row: (-row["gain"], str(row["class"])))


def _shared(correct: dict[int, np.ndarray], base: dict[int, np.ndarray]) -> list[int]:
    return sorted(seed for seed in correct.keys() & base.keys() if len(correct[seed]) == len(base[seed]) > 0)


def _gain(correct: dict[int, np.ndarray], base: dict[int, np.ndarray], classes: int) -> Row:
    seeds = _shared(correct, base)
    differences = [correct[seed].astype(float) - base[seed] for seed in seeds]
    step = 1 / min(map(len, differences))  # an accuracy comes in steps of one image
    if len(seeds) > 1:
        values = np.array([difference.mean() for difference in differences])
        sd, count, df, unit = values.std(ddof=1), len(values), len(values) - 1.0, "seeds"
        effect = float(values.mean())
    else:
        (images,) = differences
        sd, count, df, unit = images.std(ddof=1) if len(images) > 1 else math.inf, len(images), math.inf, "images"
        effect, step = float(images.mean()), 1.0
    se = max(float(sd), step / math.sqrt(12)) / math.sqrt(count)
    reach = float(stats.t.ppf(1 - ERROR_LEVEL / classes / 2, df)) * se
    low, high = max(-1.0, effect - reach), min(1.0, effect + reach)
    return {
        "gain": round(effect, 6),
        "low": round(low, 6),
        "high": round(high, 6),
        "seeds": len(seeds),
        "interval": unit,
    }
