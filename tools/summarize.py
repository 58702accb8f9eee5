"""Collect the runs of an experiment into runs.csv, one row a run, and summary.csv, their means.

    python -m tools summarize experiments/demo.yaml

writes both into results/<experiment>/ and prints the means. Every run that lies below models/<experiment>/ counts, also
one that the experiment does not select now. A run that is stuck, diverged or failed has its row, but is in no mean.

summary.csv: accuracy and sd are the mean and the sample standard deviation of the test at the last iteration, over the
n ok runs of a size and condition: directions and seeds alike (thesis section 6.1 averages the two directions). sd is
blank for a single run. excluded counts the runs left out. best_accuracy, best_iter and loss are means of the same runs.
"""

import hashlib
import json
import statistics
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path
from typing import Any

from tools import cli
from tools.errors import UserError
from tools.experiment import Experiment
from tools.files import read_json, sha256, write_atomic, write_json
from tools.layout import Run, experiment_name, results_folder
from tools.results import (
    RESULT_COLUMNS,
    RUN_COLUMNS,
    RUNS,
    SUMMARY,
    SUMMARY_COLUMNS,
    Row,
    condition_order,
    csv_text,
    engine_name,
    read_csv,
    runs_on_disk,
)

MARKER = "summary.json"
FLAGS = {
    "stuck": "accuracy at chance, or training loss flat",
    "diverged": "loss is NaN, infinite or at Caffe's ceiling",
    "failed": "see failed.json and caffe.log in it",
}


@dataclass(frozen=True)
class _Record:
    """A run that has ended: its manifest.json, or else its failed.json."""

    run: Run
    sha256: str
    content: dict[str, Any]


def summarize(exp: Experiment, engine: str) -> bool:
    """Writes runs.csv and summary.csv; returns False if they were complete already.

    `engine` is the engine's name (tools/engine.py). Raises UserError where no run has ended yet.
    """
    records = _records(exp, engine)
    folder = results_folder(exp, engine)
    if not records:
        raise UserError(
            f"models/{experiment_name(exp, engine)}: no run has ended yet; run `python -m tools sweep {exp.file}` first"
        )
    if _is_complete(folder, records):
        return False
    rows = [_row(exp, record, engine) for record in records]
    tables = {RUNS: csv_text(RUN_COLUMNS, rows), SUMMARY: csv_text(SUMMARY_COLUMNS, _means(rows))}
    (folder / MARKER).unlink(missing_ok=True)
    for name, text in tables.items():
        write_atomic(folder / name, text)
    digests = {name: hashlib.sha256(text.encode()).hexdigest() for name, text in tables.items()}
    write_json(folder / MARKER, {"runs": _digests(records), "tables": digests})
    return True


def is_complete(exp: Experiment, engine: str) -> bool:
    """Whether the tables are there, unchanged, and tell of exactly the runs that have ended."""
    return _is_complete(results_folder(exp, engine), _records(exp, engine))


def _is_complete(folder: Path, records: list[_Record]) -> bool:
    made = read_json(folder / MARKER)
    if made is None or made["runs"] != _digests(records):
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


def _means(rows: list[Row]) -> list[Row]:
    """One row a size and condition, in the order of `rows`."""
    found = []
    for (size, condition), group in groupby(rows, key=lambda row: (row["size"], row["condition"])):
        every = list(group)
        ok = [row for row in every if row["status"] == "ok"]
        accuracies = [row["accuracy"] for row in ok]
        sd = round(statistics.stdev(accuracies), 6) if len(ok) > 1 else None
        mean = {
            name: round(statistics.fmean(row[name] for row in ok), 6) if ok else None
            for name in ("accuracy", "best_accuracy", "best_iter", "loss")
        }
        found.append(
            {"size": size, "condition": condition, "sd": sd, "n": len(ok), "excluded": len(every) - len(ok), **mean}
        )
    return found


def report(folder: Path) -> str:
    """The tables of a results folder for the eye: sizes down, conditions across, and the runs that were left out."""
    rows, means = read_csv(folder / RUNS), read_csv(folder / SUMMARY)
    cells = {(row["size"], row["condition"]): row for row in means}
    conditions = sorted({row["condition"] for row in means}, key=condition_order)
    lines = [f"{'images a class':>14}" + "".join(f"{name:>8}" for name in conditions)]
    for size in dict.fromkeys(row["size"] for row in means):
        row = [cells.get((size, condition), {}) for condition in conditions]
        lines.append(f"{size:>14}" + "".join(_number(cell.get("accuracy")) for cell in row))
        if any(cell.get("sd") is not None for cell in row):
            lines.append(f"{'sd':>14}" + "".join(_number(cell.get("sd")) for cell in row))
    counts = sorted({row["n"] for row in means})
    runs = f"{counts[0]} to {counts[-1]} runs" if len(counts) > 1 else f"{counts[0]} run{'s' * (counts[0] != 1)}"
    lines += [f"Accuracy at the last iteration: mean and standard deviation of {runs} a cell (directions and seeds)."]
    flagged = [row for row in rows if row["status"] != "ok"]
    if flagged:
        lines += [f"Left out of the means, {len(flagged)} of {len(rows)} runs:"]
        lines += [f"  {row['run']}/  {row['status']}: {FLAGS[row['status']]}" for row in flagged]
    return "\n".join(lines)


def _number(value: float | None) -> str:
    return f"{'-':>8}" if value is None else f"{value:8.4f}"


def main(argv: list[str]) -> None:
    exp = cli.experiment("summarize", __doc__, argv)
    folder = results_folder(exp, engine_name())
    done = summarize(exp, engine_name())
    print(report(folder))
    print(f"{folder / RUNS}, {folder / SUMMARY}: {'written' if done else 'complete already'}")
