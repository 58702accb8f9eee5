"""The rows of summary.csv: means, spreads and intervals. tools/summarize.py says how."""

import statistics
from itertools import groupby

import numpy as np
from scipy.stats import binomtest

from tools.results.columns import Row, label_key, run_key
from tools.stats.intervals import LEVEL, Estimate, Measured


def means(rows: list[Row], predictions: dict[str, np.ndarray]) -> list[Row]:
    """One row a size and condition, in the order of `rows`. The mean is of whole seeds, as its interval is: were half a
    seed counted, the mean would lean to the direction that is there. If no seed is whole it is of what there is."""
    found = []
    measured = Measured(rows, predictions)
    for (size, condition), group in groupby(rows, key=lambda row: (row["size"], row["condition"])):
        every = list(group)
        ok = [row for row in every if row["status"] == "ok"]
        if estimate := measured.estimate({(size, condition): 1.0}):
            whole = {place for _, place in estimate.runs}
            ok = [row for row in ok if (row["seed"], row["direction"]) in whole]
        accuracies = [row["accuracy"] for row in ok]
        sd = round(statistics.stdev(accuracies), 6) if len(ok) > 1 else None
        mean = {
            name: round(statistics.fmean(row[name] for row in ok), 6) if ok else None
            for name in ("accuracy", "best_accuracy", "best_iter", "loss")
        }
        counts = {"n": len(ok), "excluded": len(every) - len(ok)}
        interval = _interval(estimate, ok, predictions)
        found.append({"size": size, "condition": condition, "sd": sd, **counts, **interval, **mean})
    return found


def _interval(estimate: Estimate | None, ok: list[Row], predictions: dict[str, np.ndarray]) -> Row:
    if estimate is None or not estimate.unit:
        return {"seeds": estimate.seeds if estimate else 0}
    if estimate.unit == "seeds":
        low, high = estimate.interval
    else:
        keys = [run_key(row) for row in ok if run_key(row) in predictions]
        right = np.concatenate([predictions[key] == predictions[label_key(key)] for key in keys])
        low, high = binomtest(int(right.sum()), len(right)).proportion_ci(LEVEL, "wilson")
    return {"low": round(low, 6), "high": round(high, 6), "seeds": estimate.seeds, "interval": estimate.unit}
