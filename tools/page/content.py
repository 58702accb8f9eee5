"""What the page shows: tables, claims, curves and figures of a results folder, as plain values for the template.

Nothing here looks at a model or an image. A table that is not there leaves its section out, with the reason.
"""

import base64
import math
import struct
from collections import defaultdict
from pathlib import Path
from typing import Any

from tools.common.files import read_json, sha256
from tools.protocol.conditions import Condition
from tools.protocol.experiment import Experiment
from tools.results.columns import Row, condition_order, read_csv, run_key, size_order

OTHER_TABLES = {
    "scores_correlation.csv": "How well a score of transferability, computed before training, ranks what was measured",
    "scores.csv": "The scores themselves: of the source net's features after each layer, on the target set",
    "retention.csv": "What a target net still knows of the source classes",
}
LONG = 60  # rows of a table that the page shows folded away
POINTS = 120  # of a run's training loss that the page holds: more cannot be seen on it
RUN_FILES = ("caffe.log", "train_val.prototxt", "solver.prototxt", "failed.json")


def means(rows: list[Row]) -> dict[str, Any]:
    """The rows of summary.csv as the grid of the first chart: sizes down, conditions of the protocol across."""
    known = [row for row in rows if row["condition"] != "source"]
    plain = [name for name in {row["condition"] for row in known} if Condition.of_run(name).is_of_thesis]
    return {
        "sizes": sorted({row["size"] for row in known}, key=size_order),
        "conditions": sorted(plain, key=condition_order),
        "controls": sorted({row["condition"] for row in known} - set(plain), key=condition_order),
        "cells": {f"{row['size']}/{row['condition']}": _cell(row) for row in known},
        "intervals": sorted({row["interval"] for row in known if row.get("interval")}),
    }


def _cell(row: Row) -> dict[str, Any]:
    return {name: _finite(row.get(name)) for name in ("accuracy", "sd", "low", "high", "n", "excluded")}


def claims(path: Path) -> list[Row]:
    """The rows of claims.csv; none where there is no such file."""
    return read_csv(path) if path.is_file() else []


def curves(path: Path) -> dict[str, dict[str, list]]:
    """Run's key -> its `tests`, [iteration, accuracy, loss], and `train`, [iteration, loss], at most POINTS of these.

    Values are rounded to four significant digits; a NaN is None. Empty where there is no curves.csv.
    """
    found: dict[str, dict[str, list]] = defaultdict(lambda: {"tests": [], "train": []})
    for row in read_csv(path) if path.is_file() else []:
        run = found[row["run"]]
        if row["accuracy"] is not None:
            run["tests"].append([row["iteration"], _short(row["accuracy"]), _short(row["validation_loss"])])
        if row["training_loss"] is not None:
            run["train"].append([row["iteration"], _short(row["training_loss"])])
    for run in found.values():
        run["train"] = _thinned(run["train"])
    return dict(found)


def _thinned(points: list) -> list:
    """At most POINTS of them, evenly spread, the last one included."""
    if len(points) <= POINTS:
        return points
    step = (len(points) - 1) / (POINTS - 1)
    return [points[round(i * step)] for i in range(POINTS)]


def _short(value: float | None) -> float | None:
    value = _finite(value)
    return None if value is None else float(f"{value:.4g}")


def _finite(value: Any) -> Any:
    """None for NaN and infinity: JSON has neither."""
    return None if isinstance(value, float) and not math.isfinite(value) else value


def runs(rows: list[Row], folder: Path | None) -> list[dict[str, Any]]:
    """The rows of runs.csv, each with its `key` and `files`: name -> link from the page in `folder`, of those there.

    `folder` is relative to the project's root; with None, the page of published tables, there are no links.
    """
    return [row | {"key": run_key(row), "files": _files(row["run"], folder) if folder else {}} for row in rows]


def _files(run: str, folder: Path) -> dict[str, str]:
    up = "../" * len(folder.parts)
    return {name: f"{up}{run}/{name}" for name in RUN_FILES if Path(run, name).is_file()}


def figures(folder: Path, tables: Path) -> list[dict[str, Any]]:
    """The figures that figures.json names, in its order: name, caption, PNG as a data URI, links to PDF and CSV.

    None where they were drawn from other tables than those in `tables`.
    """
    made = {} if _are_of_others(folder, tables) else read_json(folder / "figures.json") or {}
    found = []
    for name, caption in made.get("figures", {}).items():
        picture = folder / f"{name}.png"
        if picture.is_file():
            png = picture.read_bytes()
            data = base64.b64encode(png).decode()
            links = [f"figures/{name}.{kind}" for kind in ("pdf", "csv") if (folder / f"{name}.{kind}").is_file()]
            width, height = struct.unpack(">II", png[16:24])  # of the header: the page keeps its room free
            shape = {"width": width, "height": height, "uri": f"data:image/png;base64,{data}"}
            found.append({"name": name, "caption": caption, "links": links, **shape})
    return found


def _are_of_others(folder: Path, tables: Path) -> bool:
    inputs = (read_json(folder / "figures.json") or {}).get("inputs", {})
    files = {tables / Path(name).name: digest for name, digest in inputs.items()}
    return any(not file.is_file() or sha256(file) != digest for file, digest in files.items())


def left_out(folder: Path, tables: Path) -> dict[str, str]:
    """Figure -> why it was not drawn."""
    if _are_of_others(folder, tables):
        return {"all": f"{folder}/ was drawn from other tables than those in {tables}/; `plot` draws them again"}
    return (read_json(folder / "figures.json") or {}).get("left_out", {})


def tables(folder: Path) -> list[dict[str, Any]]:
    """The other tables of the folder: name, what it is, columns, rows."""
    found = []
    for name, what in OTHER_TABLES.items():
        rows = read_csv(folder / name) if (folder / name).is_file() else []
        if rows:
            found.append({"name": name, "what": what, "columns": list(rows[0]), "rows": rows, "long": len(rows) > LONG})
    return found


def settings(exp: Experiment) -> dict[str, str]:
    """The keys of the experiment that have a value, as text."""
    return {key: _text(value) for key, value in exp.model_dump().items() if value is not None}


def _text(value: Any) -> str:
    if isinstance(value, list):
        return ", ".join(map(str, value))
    return str(value).lower() if isinstance(value, bool) else str(value)
