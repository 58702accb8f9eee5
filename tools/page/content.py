"""The data of the page: tables, claims, curves and figures of a results folder, as plain values for the template.

Nets and images are not read. If a table is missing, its section is left out.
"""

import base64
import math
import struct
from collections import defaultdict
from pathlib import Path
from typing import Any

from tools.common.files import read_json, sha256
from tools.protocol.conditions import SOURCE, Condition
from tools.protocol.experiment import Experiment
from tools.results.columns import Row, condition_order, read_csv, run_key, size_order

OTHER_TABLES = {
    "scores_correlation.csv": "How well the transferability scores, computed before training, rank the accuracies",
    "scores.csv": "The transferability scores: of the source net's features after each layer, on the target set",
    "retention.csv": "How well the target nets still recognize the source classes",
}
LONG = 60  # a table with more rows is folded away
POINTS = 120  # of a run's training loss that the page has; more could not be seen
Point = list[float | None]
RUN_FILES = ("caffe.log", "train_val.prototxt", "solver.prototxt", "failed.json")


def means(rows: list[Row]) -> dict[str, Any]:
    """The rows of summary.csv as the grids of the first section: sizes, conditions of the thesis, controls, cells."""
    shown = [row for row in rows if row["condition"] != SOURCE]
    of_thesis = {row["condition"] for row in shown if Condition.of_run(row["condition"]).is_of_thesis}
    return {
        "sizes": sorted({row["size"] for row in shown}, key=size_order),
        "conditions": sorted(of_thesis, key=condition_order),
        "controls": sorted({row["condition"] for row in shown} - of_thesis, key=condition_order),
        "cells": {f"{row['size']}/{row['condition']}": _cell(row) for row in shown},
        "intervals": sorted({row["interval"] for row in shown if row.get("interval")}),
    }


def _cell(row: Row) -> dict[str, Any]:
    return {name: _finite(row.get(name)) for name in ("accuracy", "sd", "low", "high", "n", "excluded")}


def claims(path: Path) -> dict[str, list[Row]]:
    """The rows of claims.csv by the file of claims that they are in; empty if there is no such table."""
    families: dict[str, list[Row]] = defaultdict(list)
    for row in read_csv(path) if path.is_file() else []:
        families[row.get("claims") or "thesis"].append(row)  # tables of older versions have no such column
    return dict(families)


def curves(path: Path) -> dict[str, dict[str, list[Point]]]:
    """Run key -> its `tests`, [iteration, accuracy, loss], and `train`, [iteration, loss], at most POINTS of these.

    Values are rounded to four significant digits; NaN becomes None, and so does an accuracy whose loss is not finite:
    of outputs that are not numbers BVLC Caffe says that all images are right. Empty if there is no curves.csv.
    """
    of_run: dict[str, dict[str, list[Point]]] = defaultdict(lambda: {"tests": [], "train": []})
    for row in read_csv(path) if path.is_file() else []:
        run = of_run[row["run"]]
        if row["accuracy"] is not None:
            loss = _short(row["validation_loss"])
            run["tests"].append([row["iteration"], None if loss is None else _short(row["accuracy"]), loss])
        if row["training_loss"] is not None:
            run["train"].append([row["iteration"], _short(row["training_loss"])])
    for run in of_run.values():
        run["train"] = _thinned(run["train"])
    return dict(of_run)


def _thinned(points: list[Point]) -> list[Point]:
    """At most POINTS of the points, evenly spaced, including the last one."""
    if len(points) <= POINTS:
        return points
    step = (len(points) - 1) / (POINTS - 1)
    return [points[round(i * step)] for i in range(POINTS)]


def _short(value: float | None) -> float | None:
    value = _finite(value)
    return None if value is None else float(f"{value:.4g}")


def _finite(value: Any) -> Any:
    """The value, or None for NaN and infinity, which JSON does not have."""
    return None if isinstance(value, float) and not math.isfinite(value) else value


def runs(rows: list[Row], folder: Path | None) -> list[dict[str, Any]]:
    """The rows of runs.csv, each with its `key` and `files`: name -> link from the page, for the files that exist.

    `folder`: that of the page, relative to the project's root. None: the page is of published tables and has no links.
    """
    return [row | {"key": run_key(row), "files": _files(row["run"], folder) if folder else {}} for row in rows]


def _files(run: str, folder: Path) -> dict[str, str]:
    up = "../" * len(folder.parts)
    return {name: f"{up}{run}/{name}" for name in RUN_FILES if Path(run, name).is_file()}


def figures(folder: Path, tables: Path) -> list[dict[str, Any]]:
    """The figures that figures.json lists, in its order: name, caption, PNG as a data URI, links to PDF and CSV.

    Empty if they were drawn from other tables than those in `tables`.
    """
    drawn = {} if _are_of_other_tables(folder, tables) else _figures_json(folder).get("figures", {})
    shown = []
    for name, caption in drawn.items():
        picture = folder / f"{name}.png"
        if picture.is_file():
            png = picture.read_bytes()
            data = base64.b64encode(png).decode()
            links = [f"figures/{name}.{kind}" for kind in ("pdf", "csv") if (folder / f"{name}.{kind}").is_file()]
            width, height = struct.unpack(">II", png[16:24])  # PNG header: the page keeps the space free
            shape = {"width": width, "height": height, "uri": f"data:image/png;base64,{data}"}
            shown.append({"name": name, "caption": caption, "links": links, **shape})
    return shown


def _figures_json(folder: Path) -> dict[str, Any]:
    return read_json(folder / "figures.json") or {}


def _are_of_other_tables(folder: Path, tables: Path) -> bool:
    inputs = _figures_json(folder).get("inputs", {})
    files = {tables / Path(name).name: digest for name, digest in inputs.items()}
    return any(not file.is_file() or sha256(file) != digest for file, digest in files.items())


def left_out(folder: Path, tables: Path) -> dict[str, str]:
    """Figure -> the reason why it was not drawn."""
    if _are_of_other_tables(folder, tables):
        return {"all": f"{folder}/ was drawn from other tables than those in {tables}/; `plot` draws them again"}
    reasons: dict[str, str] = _figures_json(folder).get("left_out", {})
    return reasons


def tables(folder: Path) -> list[dict[str, Any]]:
    """The other tables of the folder: name, description (`what`), columns, rows."""
    others = []
    for name, what in OTHER_TABLES.items():
        rows = read_csv(folder / name) if (folder / name).is_file() else []
        if rows:
            others.append(
                {"name": name, "what": what, "columns": list(rows[0]), "rows": rows, "long": len(rows) > LONG}
            )
    return others


def settings(exp: Experiment) -> dict[str, str]:
    """The keys of the experiment that have a value, with the value as text."""
    return {key: _text(value) for key, value in exp.model_dump().items() if value is not None}


def _text(value: Any) -> str:
    if isinstance(value, list):
        return ", ".join(map(str, value))
    return str(value).lower() if isinstance(value, bool) else str(value)
