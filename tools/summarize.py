"""Collect the runs of an experiment into tables: runs, summary, curves and classes.csv, and predictions.npz.

    python -m tools summarize experiments/demo.yaml

writes them into results/<experiment>/ and prints the means. All runs below models/<experiment>/ are in the tables, also
those that the experiment does not select now. A manifest that was set aside while a source net was trained again is put
back if it is up to date after all. A run that is stuck, diverged or failed has a row, but is in no mean.

summary.csv has a row for each size and condition. Means are over its n ok runs, over directions and seeds (thesis
section 6.1 averages the two directions).

low and high are the mean's 95 % interval. The two directions of a seed share its split, so the seed is the unit
(interval: `seeds`): Student's t over the seeds that have a run in every direction, each being the mean over directions.
With one seed (interval: `images`) it is Wilson's interval for the share of right predictions among all validation
images. That covers the finite validation set alone, not another split, draw or start. It is blank without predictions.
tools/stats/intervals.py gives the reasons.

predictions.npz has each run's predictions under its key (A2B/n0300/S3T/seed0), and the labels of a direction and seed
under label/A2B/seed0, and the ids of its classes under classes/A2B/seed0. All claims and figures are made from these
tables.
"""

import contextlib
import hashlib
import statistics
from collections import Counter
from itertools import groupby
from pathlib import Path
from typing import Any

import numpy as np
from tabulate import tabulate

from tools import cli
from tools.common.errors import UserError
from tools.common.files import lock_if_free, read_json, write_atomic, write_record
from tools.nets.templates import NET, headline_in
from tools.planning.stages import TABLES, summarize_stage
from tools.planning.stale import note_stale_runs
from tools.protocol.experiment import Experiment
from tools.protocol.heads import SMOOTHED
from tools.protocol.layout import Run, experiment_name, results_folder, split_of
from tools.results.columns import (
    CLASS_COLUMNS,
    CLASS_IDS,
    CLASSES,
    CURVE_COLUMNS,
    CURVES,
    PREDICTIONS,
    RESULT_COLUMNS,
    RUN_COLUMNS,
    RUNS,
    SUMMARY,
    SUMMARY_COLUMNS,
    Row,
    classes_key,
    condition_order,
    csv_text,
    engine_name,
    label_key,
    read_csv,
    read_log_csv,
    row_of,
    whole_row,
    with_columns,
)
from tools.results.ended_runs import EndedRun, ended_runs, note_damaged_manifests, runs_on_disk
from tools.results.tables import Tables, npz_bytes
from tools.stats.learning_state import LEARNING, PAST_BEST
from tools.training.engine import Engine, NoEngine, engine_of
from tools.training.inputs import put_back_manifest
from tools.training.outcome import FLAGS

_ROUNDING = 0.0001  # test.csv has the digits that the engine printed


def summarize(exp: Experiment, engine: str) -> bool:
    """Writes the tables; returns False if they were complete already.

    `engine` is the engine's name (tools/training/engine.py). Raises UserError if no run has ended yet.
    """
    from tools.stats.class_accuracy import class_rows  # takes a second: scipy
    from tools.stats.summary_rows import summary_rows

    ended = ended_runs(experiment_name(exp, engine))
    folder = results_folder(exp, engine)
    if not ended:
        raise UserError(
            f"models/{experiment_name(exp, engine)}: no run has ended yet; run `python -m tools sweep {exp.file}` first"
        )
    stage = summarize_stage(exp, engine)
    if stage.is_complete:
        return False
    rows = [_row(exp, run, engine) for run in ended]
    predictions = _predictions(exp, ended)
    curves = [row for run in ended for row in _curve(run.run)]
    tables = {
        RUNS: csv_text(RUN_COLUMNS, rows).encode(),
        SUMMARY: csv_text(SUMMARY_COLUMNS, summary_rows(rows, predictions, curves)).encode(),
        CURVES: csv_text(CURVE_COLUMNS, curves).encode(),
        CLASSES: csv_text(CLASS_COLUMNS, class_rows(rows, predictions)).encode(),
        PREDICTIONS: npz_bytes(predictions),
    }
    stage.marker.unlink(missing_ok=True)
    for name, data in tables.items():
        write_atomic(folder / name, data)
    digests = {name: hashlib.sha256(data).hexdigest() for name, data in tables.items()}
    write_record(stage.marker, {"runs": {run.run.key: run.sha256 for run in ended}, "tables": digests})
    return True


def _row(exp: Experiment, ended: EndedRun, engine: str) -> Row:
    run, result = ended.run, ended.content.get("result")
    if result is not None and not RESULT_COLUMNS.keys() <= result.keys():
        missing = ", ".join(sorted(RESULT_COLUMNS.keys() - result.keys()))
        raise UserError(f"{run.manifest}: its result has no {missing}; remove the run's folder and sweep again")
    return whole_row(
        RUN_COLUMNS,
        dataset=exp.dataset,
        direction=run.direction,
        size=run.size,
        condition=run.condition,
        seed=run.seed,
        **({name: result[name] for name in RESULT_COLUMNS} if result else dict.fromkeys(RESULT_COLUMNS)),
        engine=engine,
        status=result["status"] if result else "failed",
        attempts=ended.content["attempts"],
        resumed_at=" ".join(map(str, ended.content.get("resumed_at") or [])) or None,
        run=str(run.folder),
    )


def _predictions(exp: Experiment, ended: list[EndedRun]) -> dict[str, np.ndarray]:
    """Predicted classes by run key; labels and class ids by direction and seed. Raises UserError if labels differ."""
    arrays: dict[str, np.ndarray] = {}
    for run in ended:
        path = run.run.folder / PREDICTIONS
        if not run.content.get("predictions") or not path.exists():
            continue
        with np.load(path) as file:
            label, predicted = file["label"], file["predicted"]
        key = run.run.key
        if not np.array_equal(arrays.setdefault(label_key(key), label), label):
            raise UserError(
                f"{path}: scored on other images than the seed's other runs of this direction; remove the older of the "
                "two runs' folders and sweep again"
            )
        arrays[key] = predicted
        if classes_key(key) not in arrays and (ids := _class_ids(exp, run.run)):
            arrays[classes_key(key)] = np.array(ids)
    return dict(sorted(arrays.items()))


def _class_ids(exp: Experiment, run: Run) -> list[str] | None:
    """The ids of the run's classes, of the split or of a restored run; None if neither is there."""
    split = read_json(split_of(exp, run.seed).marker)
    return split["classes"][run.target] if split else read_json(run.folder / CLASS_IDS)


def _curve(run: Run) -> list[Row]:
    """A row for each iteration that was displayed or tested; none if the run has no CSVs."""
    if (run.folder / CURVES).exists():  # a restored run has these rows, and no other CSV
        return with_columns(CURVE_COLUMNS, read_csv(run.folder / CURVES))
    if not all((run.folder / name).exists() for name in (NET, "train.csv", "test.csv")):
        return []
    headline = headline_in(run.folder)
    accuracy, loss = headline.outputs
    training_loss = headline.training_loss or SMOOTHED
    at: dict[int, Row] = {}
    for row in read_log_csv(run.folder / "train.csv"):
        at.setdefault(row["NumIters"], {})["training_loss"] = row[training_loss]
    for row in read_log_csv(run.folder / "test.csv"):
        if row["TestNet"] == 0:
            at.setdefault(row["NumIters"], {}).update(accuracy=row.get(accuracy), validation_loss=row.get(loss))
    _check_head(run, accuracy, at[max(at)].get("accuracy") if at else None)
    return [row_of(CURVE_COLUMNS, run=run.key, iteration=iteration, **at[iteration]) for iteration in sorted(at)]


def _check_head(run: Run, output: str, accuracy: float | None) -> None:
    """Raises UserError if a run's result is not the headline's: before November 2026 it could be another head's."""
    result = (read_json(run.manifest) or {}).get("result")
    if result and accuracy is not None and abs(result["accuracy"] - accuracy) > _ROUNDING:
        raise UserError(
            f"{run.manifest}: its accuracy is {result['accuracy']}, and the headline {output!r} has {accuracy}: it was "
            "read from another head of the net; remove this file and sweep again: what is trained is not trained again"
        )


def report(folder: Path) -> str:
    """The tables of a folder as text: a row per size, a column per condition, and the runs that were left out."""
    rows, means = read_csv(folder / RUNS), read_csv(folder / SUMMARY)
    cells = {(row["size"], row["condition"]): row for row in means}
    conditions = sorted({row["condition"] for row in means}, key=condition_order)
    table = []
    for size in dict.fromkeys(row["size"] for row in means):
        of_size = [cells.get((size, condition), {}) for condition in conditions]
        table.append([size, *(cell.get("accuracy") for cell in of_size)])
        if any(cell.get("sd") is not None for cell in of_size):
            table.append(["sd", *(cell.get("sd") for cell in of_size)])
    counts = sorted({row["n"] for row in means})
    runs = f"{counts[0]} to {counts[-1]} runs" if len(counts) > 1 else f"{counts[0]} run{'s' * (counts[0] != 1)}"
    lines = [
        tabulate(
            table, ["images a class", *conditions], "plain", ".4f", numalign="right", stralign="right", missingval="-"
        ),
        f"Accuracy at the last iteration: mean and standard deviation of {runs} a cell (directions and seeds).",
    ]
    for state, meaning in ((LEARNING, "Still learning when their training ended"), (PAST_BEST, "Past their best then")):
        of_state = [row for row in means if row.get("at_end") == state]
        for size, group in groupby(of_state, key=lambda row: row["size"]):
            names = sorted((row["condition"] for row in group), key=condition_order)
            lines.append(f"{meaning}, at {size}: {', '.join(names)}")
    if waiting := Counter(row["seed"] for row in _of_incomplete_seeds(rows, cells)):
        (seed, count), *more = sorted(waiting.items())
        lines.append(
            "Left out of the means, for the run of the other direction is missing or flagged: "
            + ", ".join([f"{count} run{'s' * (count != 1)} of seed {seed}", *(f"{n} of seed {s}" for s, n in more)])
        )
    flagged = [row for row in rows if row["status"] != "ok"]
    if flagged:
        lines += [f"Left out of the means, {len(flagged)} of {len(rows)} runs:"]
        lines += [f"  {row['run']}/  {row['status']}: {FLAGS[row['status']]}" for row in flagged]
    if changed := _with_stuck(rows, cells):
        lines += ["Their accuracy is known where they are stuck. With these runs the means would be others:", *changed]
    return "\n".join(lines)


def _of_incomplete_seeds(rows: list[Row], cells: dict[tuple[Any, str], Row]) -> list[Row]:
    """The ok runs that are in no mean: their seed has no ok run in another direction of the size and condition."""
    left_out = []
    for cell, mean in cells.items():
        of_cell = [row for row in rows if (row["size"], row["condition"]) == cell]
        ok = [row for row in of_cell if row["status"] == "ok"]
        directions, found = {row["direction"] for row in of_cell}, Counter(row["seed"] for row in ok)
        if mean["n"] < len(ok):
            left_out += [row for row in ok if found[row["seed"]] < len(directions)]
    return left_out


def _with_stuck(rows: list[Row], cells: dict[tuple[Any, str], Row]) -> list[str]:
    """A line for each cell with stuck runs: its mean, and what it would be with them."""
    lines = []
    for size, condition in dict.fromkeys((row["size"], row["condition"]) for row in rows if row["status"] == "stuck"):
        known = [
            row["accuracy"]
            for row in rows
            if (row["size"], row["condition"]) == (size, condition) and row["status"] in ("ok", "stuck")
        ]
        mean = cells.get((size, condition), {}).get("accuracy")
        without = "no mean" if mean is None else f"{mean:.4f}"
        lines.append(f"  {size} {condition}: {without}; with them {statistics.fmean(known):.4f} ({len(known)} runs)")
    return lines


def put_back_manifests(exp: Experiment, engine: Engine) -> None:
    """Puts back every manifest in models/<experiment>/ that was set aside and is up to date. Skips running runs."""
    for run in runs_on_disk(experiment_name(exp, engine.name)):
        if run.stale_manifest.exists() and not run.failed.exists():
            with lock_if_free(run.lock) as free:
                if free:
                    put_back_manifest(exp, run, engine)


def main(argv: list[str]) -> None:
    tables = {RUNS: RUN_COLUMNS, SUMMARY: SUMMARY_COLUMNS, CURVES: CURVE_COLUMNS, CLASSES: CLASS_COLUMNS}
    exp = cli.experiment("summarize", __doc__, argv, tables)
    with contextlib.suppress(NoEngine):  # its version is among the inputs: without it nothing is put back
        put_back_manifests(exp, engine_of(exp))
    folder = results_folder(exp, engine_name())
    note_damaged_manifests(experiment_name(exp, engine_name()))
    written = summarize(exp, engine_name())
    print(report(folder))
    split = split_of(exp, exp.seeds[0]).marker
    if not read_csv(folder / CLASSES) and Tables(folder).predictions and not split.exists():
        print(f"{folder / CLASSES}: empty, for the class ids are in {split}: not there")
    print(f"{folder}/: {', '.join(TABLES)}: {'written' if written else 'complete already'}")
    note_stale_runs(exp)
