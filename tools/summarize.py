"""Collect the runs of an experiment into tables: runs.csv, one row a run, summary.csv, their means, and what they did.

    python -m tools summarize experiments/demo.yaml

writes them into results/<experiment>/ and prints the means. Every run that lies below models/<experiment>/ counts, also
one that the experiment does not select now; of those that were set aside while a source net was trained again, all that
stand after all. A run that is stuck, diverged or failed has its row, but is in no mean.

summary.csv: accuracy and sd are the mean and the sample standard deviation of the test at the last iteration, over the
n ok runs of a size and condition: directions and seeds alike (thesis section 6.1 averages the two directions). sd is
blank for a single run. excluded counts the runs left out. best_accuracy, best_iter and loss are means of the same runs.

low and high are the mean's 95 % interval. A seed's two directions share its split, so that the seed is the unit
(interval: `seeds`): the mean of the directions in each of the `seeds` seeds that have all, and Student's t over them.
With one seed (interval: `images`) it is Wilson's interval for the share of right predictions among all validation
images: it covers the finite validation set alone, not what another split, draw or start would do; blank without
predictions. tools/stats/intervals.py says why.

curves.csv: the learning curves of every run, by its key (A2B/n0300/S3T/seed0); a cell is blank at an iteration that was
displayed but not tested, or tested but not displayed. predictions.npz: each run's predictions under its key, and the
labels of a direction and seed under label/A2B/seed0 (tools/predict.py). All claims and figures come from these tables.
"""

import contextlib
import hashlib
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from caffeformat import prototxt
from tools import cli
from tools.common.errors import UserError
from tools.common.files import is_locked, read_json, sha256, write_atomic, write_json
from tools.nets.templates import NET, headline_outputs
from tools.protocol.experiment import Experiment
from tools.protocol.layout import Run, experiment_name, results_folder
from tools.results.columns import (
    CURVE_COLUMNS,
    CURVES,
    PREDICTIONS,
    RESULT_COLUMNS,
    RUN_COLUMNS,
    RUNS,
    SUMMARY,
    SUMMARY_COLUMNS,
    Row,
    condition_order,
    csv_text,
    engine_name,
    label_key,
    npz_bytes,
    read_csv,
    runs_on_disk,
)
from tools.training.engine import Engine, NoEngine, find
from tools.training.inputs import take_back as take_back_run
from tools.training.outcome import FLAGS

MARKER = "summary.json"
TABLES = (RUNS, SUMMARY, CURVES, PREDICTIONS)


@dataclass(frozen=True)
class _Record:
    """A run that has ended: its manifest.json, or else its failed.json."""

    run: Run
    sha256: str
    content: dict[str, Any]


def summarize(exp: Experiment, engine: str) -> bool:
    """Writes the tables; returns False if they were complete already.

    `engine` is the engine's name (tools/training/engine.py). Raises UserError where no run has ended yet.
    """
    from tools.stats.summary_rows import summary_rows  # takes a second; is_complete must not

    records = _records(exp, engine)
    folder = results_folder(exp, engine)
    if not records:
        raise UserError(
            f"models/{experiment_name(exp, engine)}: no run has ended yet; run `python -m tools sweep {exp.file}` first"
        )
    if _is_complete(folder, records):
        return False
    rows = [_row(exp, record, engine) for record in records]
    predictions = _predictions(records)
    tables = {
        RUNS: csv_text(RUN_COLUMNS, rows).encode(),
        SUMMARY: csv_text(SUMMARY_COLUMNS, summary_rows(rows, predictions)).encode(),
        CURVES: csv_text(CURVE_COLUMNS, (row for record in records for row in _curve(record.run))).encode(),
        PREDICTIONS: npz_bytes(predictions),
    }
    (folder / MARKER).unlink(missing_ok=True)
    for name, data in tables.items():
        write_atomic(folder / name, data)
    digests = {name: hashlib.sha256(data).hexdigest() for name, data in tables.items()}
    write_json(folder / MARKER, {"runs": _digests(records), "tables": digests})
    return True


def is_complete(exp: Experiment, engine: str) -> bool:
    """Whether the tables are there, unchanged, and tell of exactly the runs that have ended."""
    return _is_complete(results_folder(exp, engine), _records(exp, engine))


def _is_complete(folder: Path, records: list[_Record]) -> bool:
    made = read_json(folder / MARKER)
    if made is None or made["runs"] != _digests(records) or set(made["tables"]) != set(TABLES):
        return False
    return all((folder / name).is_file() and sha256(folder / name) == digest for name, digest in made["tables"].items())


def _digests(records: list[_Record]) -> dict[str, str]:
    return {record.run.key: record.sha256 for record in records}


def _records(exp: Experiment, engine: str) -> list[_Record]:
    runs = runs_on_disk(experiment_name(exp, engine))
    return [record for run in runs if (record := _read(run, run.manifest) or _read(run, run.failed))]


def _read(run: Run, path: Path) -> _Record | None:
    """None where the file is absent or no JSON: such a run has not ended."""
    try:
        data = path.read_bytes()
        return _Record(run, hashlib.sha256(data).hexdigest(), json.loads(data))
    except (FileNotFoundError, ValueError):
        return None


def _row(exp: Experiment, record: _Record, engine: str) -> Row:
    run = record.run
    result = record.content.get("result", {"status": "failed"})
    return {
        "dataset": exp.dataset,
        "direction": run.direction,
        "size": run.size,
        "condition": run.condition,
        "seed": run.seed,
        **{name: result.get(name) for name in RESULT_COLUMNS},
        "engine": engine,
        "status": result["status"],
        "attempts": record.content["attempts"],
        "run": str(run.folder),
    }


def _predictions(records: list[_Record]) -> dict[str, np.ndarray]:
    """Predicted classes by run key, and labels by direction and seed. Raises UserError where labels do not agree."""
    found: dict[str, np.ndarray] = {}
    for record in records:
        known = record.content.get("predictions")
        path = record.run.folder / PREDICTIONS
        if not known or not path.exists():
            continue
        with np.load(path) as arrays:
            label, predicted = arrays["label"], arrays["predicted"]
        key = record.run.key
        if not np.array_equal(found.setdefault(label_key(key), label), label):
            raise UserError(
                f"{path}: scored on other images than the seed's other runs of this direction; remove the older of the "
                "two runs' folders and sweep again"
            )
        found[key] = predicted
    return dict(sorted(found.items()))


def _curve(run: Run) -> list[Row]:
    """A row an iteration that was displayed or tested; none of a run that has no CSVs. A restored run has the rows."""
    if (run.folder / CURVES).exists():
        return read_csv(run.folder / CURVES)
    net = run.folder / NET
    if not all((run.folder / name).exists() for name in (NET, "train.csv", "test.csv")):
        return []
    accuracy, loss = headline_outputs(prototxt.read_net(net), net)
    at: dict[int, Row] = {}
    for row in read_csv(run.folder / "train.csv"):
        at.setdefault(row["NumIters"], {})["training_loss"] = row["SmoothedLoss"]
    for row in read_csv(run.folder / "test.csv"):
        if row["TestNet"] == 0:
            at.setdefault(row["NumIters"], {}).update(accuracy=row.get(accuracy), validation_loss=row.get(loss))
    return [{"run": run.key, "iteration": iteration, **at[iteration]} for iteration in sorted(at)]


def report(folder: Path) -> str:
    """The tables of a results folder for the eye: sizes down, conditions across, and the runs that were left out."""
    rows, means = read_csv(folder / RUNS), read_csv(folder / SUMMARY)
    cells = {(row["size"], row["condition"]): row for row in means}
    conditions = sorted({row["condition"] for row in means}, key=condition_order)
    widths = [max(8, len(name) + 2) for name in conditions]
    lines = [f"{'images a class':>14}" + "".join(f"{name:>{w}}" for name, w in zip(conditions, widths, strict=True))]
    for size in dict.fromkeys(row["size"] for row in means):
        row = [cells.get((size, condition), {}) for condition in conditions]
        lines.append(f"{size:>14}" + _numbers([cell.get("accuracy") for cell in row], widths))
        if any(cell.get("sd") is not None for cell in row):
            lines.append(f"{'sd':>14}" + _numbers([cell.get("sd") for cell in row], widths))
    counts = sorted({row["n"] for row in means})
    runs = f"{counts[0]} to {counts[-1]} runs" if len(counts) > 1 else f"{counts[0]} run{'s' * (counts[0] != 1)}"
    lines += [f"Accuracy at the last iteration: mean and standard deviation of {runs} a cell (directions and seeds)."]
    flagged = [row for row in rows if row["status"] != "ok"]
    if flagged:
        lines += [f"Left out of the means, {len(flagged)} of {len(rows)} runs:"]
        lines += [f"  {row['run']}/  {row['status']}: {FLAGS[row['status']]}" for row in flagged]
    return "\n".join(lines)


def _numbers(values: list[float | None], widths: list[int]) -> str:
    texts = ["-" if value is None else f"{value:.4f}" for value in values]
    return "".join(f"{text:>{width}}" for text, width in zip(texts, widths, strict=True))


def take_back(exp: Experiment, engine: Engine) -> None:
    """Puts back what was set aside and stands after all, of all runs in models/<experiment>/ that nobody works on."""
    for run in runs_on_disk(experiment_name(exp, engine.name)):
        if not run.failed.exists() and not is_locked(run.lock):
            take_back_run(exp, run, engine)


def main(argv: list[str]) -> None:
    exp = cli.experiment("summarize", __doc__, argv)
    with contextlib.suppress(NoEngine):  # what stands depends on its version, too: then it is as it lies
        take_back(exp, find())
    folder = results_folder(exp, engine_name())
    done = summarize(exp, engine_name())
    print(report(folder))
    print(f"{folder}/: {', '.join(TABLES)}: {'written' if done else 'complete already'}")
