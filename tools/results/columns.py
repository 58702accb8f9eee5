"""An experiment's results on disk: the runs below its models folder, and the tables that stand for them.

`summarize` writes the tables, `plot` reads them. Both work where no engine is at hand.
"""

import csv
import io
import os
import re
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np

from tools.protocol.conditions import Condition
from tools.protocol.layout import MODELS, Run
from tools.protocol.runs import condition_of

RUNS, SUMMARY, CURVES, CLAIMS = "runs.csv", "summary.csv", "curves.csv", "claims.csv"
PREDICTIONS = "predictions.npz"  # in a run's folder: that run's; beside the tables: of all runs
MANIFESTS = "manifests.jsonl"  # where results are published: the manifest of every run, a line each
RESULT_COLUMNS = ("accuracy", "best_accuracy", "best_iter", "loss", "iters", "seconds", "images_per_s")
RUN_COLUMNS = (
    *("dataset", "direction", "size", "condition", "seed"),
    *RESULT_COLUMNS,
    *("engine", "status", "attempts", "run"),
)
SUMMARY_COLUMNS = (
    *("size", "condition", "accuracy", "sd", "n", "excluded", "low", "high", "seeds", "interval"),
    *("best_accuracy", "best_iter", "loss"),
)
CURVE_COLUMNS = ("run", "iteration", "accuracy", "validation_loss", "training_loss")
RETENTION = "retention.csv"
RETENTION_COLUMNS = (
    *("direction", "size", "condition", "seed"),
    *("source_accuracy", "own_fc8", "new_fc8", "target_accuracy", "run"),
)
SCORES, CORRELATIONS = "scores.csv", "scores_correlation.csv"
SCORE_NAMES = ("leep", "logme", "h_score", "h_score_shrunk")
SCORE_COLUMNS = (
    *("direction", "size", "seed", "condition", "layer", "images", "features"),
    *SCORE_NAMES,
    "accuracy",
)
CORRELATION_COLUMNS = ("score", "against", "rho", "p", "n")

Row = dict[str, Any]


def engine_name() -> str:
    """The name that tools/training/engine.py would give the engine, whether or not it is on this machine."""
    return Path(os.environ.get("CAFFE") or "caffe").name


def runs_on_disk(experiment: str, retained: bool = False) -> list[Run]:
    """Every run with a folder below models/<experiment>/, selected now or not, in the order of the tables.

    Those that tell what was retained of the source task are scored on another half: they are left out, or alone given.
    A folder whose name is no run's specification (a copy named `seed0.bak`, say) is none.
    """
    found = [run_of(experiment, "/".join(folder.parts[-4:])) for folder in (MODELS / experiment).glob("*/*/*/*/")]
    return sorted((run for run in found if run and bool(condition_of(run).retained) == retained), key=order)


def order(run: Run) -> tuple:
    """The largest size first (`all` before any), the thesis' order of conditions, then direction and seed."""
    return (size_order(run.size), condition_order(run.condition), run.direction, run.seed)


def size_order(size: int | str) -> float:
    return float("-inf") if size == "all" else -size


def condition_order(name: str) -> tuple:
    """A sort key: base, FTall, S1T, S2T, ..., the controls, and last `source`, a source net that is no base run.

    Raises ValueError for others.
    """
    return Condition.of_run(name).order


def run_of(experiment: str, key: str) -> Run | None:
    """The run of a key, A2B/n0300/S3T/seed0; None where it is no specification, or not as it would be written."""
    match = re.fullmatch(r"(A2B|B2A)/n(\d+|all)/([\w+-]+)/seed(\d+)", key)
    if not match:
        return None
    direction, size, condition, seed = match.groups()
    run = Run(experiment, direction, size if size == "all" else int(size), condition, int(seed))
    try:
        condition_order(condition)
    except ValueError:
        return None
    return run if run.key == key else None


def run_key(row: Row) -> str:
    """A2B/n0300/S3T/seed0, of a row of runs.csv."""
    return "/".join(Path(row["run"]).parts[-4:])


def label_key(key: str) -> str:
    """Under which predictions.npz has the labels of the images that the run `key` was scored on: label/A2B/seed0."""
    direction, _, _, seed = key.split("/")
    return f"label/{direction}/{seed}"


def csv_text(columns: Iterable[str], rows: Iterable[Row]) -> str:
    """A header and a line a row; None is a blank cell."""
    out = io.StringIO()
    writer = csv.DictWriter(out, list(columns), lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    return out.getvalue()


def npz_bytes(arrays: dict[str, np.ndarray]) -> bytes:
    """Arrays by name as a compressed .npz; numpy dates its members 1980, so equal arrays give equal bytes."""
    out = io.BytesIO()
    np.savez_compressed(out, **arrays)
    return out.getvalue()


def read_csv(path: Path) -> list[Row]:
    """Rows by column; a cell that is a number as one (int where it can be), a blank one as None."""
    with open(path, encoding="utf-8", newline="") as file:
        return [{name: _cell(text) for name, text in row.items()} for row in csv.DictReader(file)]


def _cell(text: str) -> int | float | str | None:
    for kind in (int, float):
        try:
            return kind(text)
        except ValueError:
            continue
    return text or None
