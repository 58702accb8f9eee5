"""Verdicts on the claims of the thesis, from sweeps whose true accuracies a test gives."""

import numpy as np

from benchmarks.simulated_sweeps import sweep
from tools.claims import decide
from tools.results.tables import Tables
from tools.stats.claims_file import THESIS, load


def claim_rows(tables: Tables, **others: Tables) -> dict[str, dict]:
    return {row["claim"]: row for row in decide(tables, load(THESIS), **others)}


def exact(truth, seeds: int = 3, spread: float = 0.001, dataset: str = "tiny-imagenet", **curves: int) -> Tables:
    """A sweep whose runs are all but their true accuracies."""
    tables = sweep(np.random.RandomState(0), seeds, truth)
    random = np.random.RandomState(1)
    for row in tables.runs:
        row["accuracy"] = truth(row["size"], row["condition"]) + random.normal(0, spread)
        row["dataset"] = dataset
    return tables


def as_the_thesis_has_it(size: int, condition: str) -> float:
    """Accuracies for which C1 to C7, C10, C12, C13 and C16 hold."""
    scarce = np.log2(500 / size) + 1
    gain = {"S1T": 0.01, "S2T": 0.04, "S3T": 0.03, "S4T": -0.03, "S5T": 0.02, "S6T": -0.05, "S7T": -0.1}
    if condition == "FTall":
        return 0.6 - 0.06 * scarce + (0.0 if size == 500 else 0.004 * scarce)
    if condition == "S3T" and size > 300:
        return 0.6 - 0.06 * scarce + 0.005
    return 0.6 - 0.06 * scarce + gain.get(condition, 0.0) * scarce / 2
