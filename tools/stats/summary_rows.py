"""The rows of summary.csv: means, standard deviations and intervals. tools/summarize.py explains the columns."""

import statistics
from collections.abc import Iterable
from itertools import groupby

import numpy as np
from scipy.stats import binomtest

from tools.results.columns import SUMMARY_COLUMNS, Row, label_key, row_of, run_key
from tools.stats.intervals import LEVEL, Estimate, Measurements, without_source_nets
from tools.stats.learning_state import learning_state, validation_curves


def summary_rows(rows: list[Row], predictions: dict[str, np.ndarray], curves: Iterable[Row] = ()) -> list[Row]:
    """One row per size and condition, in the order of `rows` (those of runs.csv). `curves`: the rows of curves.csv.

    The mean is over the runs of complete seeds, like its interval: an incomplete seed would shift it towards the
    direction that is there. If no seed is complete, the mean is over all ok runs; but there is none if a direction that
    was run has no ok run in any seed. Source nets of a direction that was not selected are in no mean.
    """
    summary, rows = [], without_source_nets(rows)
    measurements, of_run = Measurements(rows, predictions), validation_curves(curves)
    for (size, condition), group in groupby(rows, key=lambda row: (row["size"], row["condition"])):
        runs = list(group)
        ok = [row for row in runs if row["status"] == "ok"]
        estimate = measurements.estimate({(size, condition): 1.0})
        if {row["direction"] for row in ok} != {row["direction"] for row in runs}:
            ok, estimate = [], None
        if estimate:
            complete = {replicate for _, replicate in estimate.runs}
            ok = [row for row in ok if (row["seed"], row["direction"]) in complete]
        accuracies = [row["accuracy"] for row in ok]
        sd = round(statistics.stdev(accuracies), 6) if len(ok) > 1 else None
        mean = {
            name: round(statistics.fmean(row[name] for row in ok), 6) if ok else None
            for name in ("accuracy", "best_accuracy", "best_iter", "loss")
        }
        counts = {"n": len(ok), "excluded": len(runs) - len(ok)}
        interval = _interval(estimate, ok, predictions)
        at_end = learning_state([of_run[key] for row in ok if (key := run_key(row)) in of_run])
        summary.append(
            row_of(SUMMARY_COLUMNS, size=size, condition=condition, sd=sd, **counts, **interval, **mean, at_end=at_end)
        )
    return summary


def _interval(estimate: Estimate | None, ok: list[Row], predictions: dict[str, np.ndarray]) -> Row:
    """Student's interval over seeds; by images Wilson's interval of the share of correct predictions."""
    if estimate is None or not estimate.unit:
        return {"seeds": estimate.seeds if estimate else 0}
    if estimate.unit == "seeds":
        low, high = estimate.interval
    else:
        keys = [run_key(row) for row in ok if run_key(row) in predictions]
        correct = np.concatenate([predictions[key] == predictions[label_key(key)] for key in keys])
        low, high = binomtest(int(correct.sum()), len(correct)).proportion_ci(LEVEL, "wilson")
    return {"low": round(low, 6), "high": round(high, 6), "seeds": estimate.seeds, "interval": estimate.unit}
