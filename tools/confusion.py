"""Write and draw the confusion matrix of one run, from the table of predictions.

    python -m tools confusion experiments/demo.yaml A2B/n0001/FTall/seed20
    python -m tools confusion experiments/demo.yaml A2B/n0001/FTall/seed20 --from docs/results/demo

writes results/<experiment>/confusion/A2B-n0001-FTall-seed20.csv, .png and .pdf, and prints the pairs of classes that
are confused most. The CSV has a row for each true class and a column for each predicted one, in images of V_target. An
output of the net that is no class (fc8_outputs) counts as `none`. classes.csv has the accuracy of each class by size
and condition, and what it gains over base.
"""

from pathlib import Path

import numpy as np
from tabulate import tabulate

from tools import cli
from tools.common.errors import UserError
from tools.common.files import write_atomic
from tools.figures import confusion as figure
from tools.figures import style
from tools.figures.samples import class_names
from tools.protocol.experiment import Experiment, load
from tools.protocol.layout import results_folder
from tools.results.columns import classes_key, csv_text, engine_name, label_key, run_key
from tools.results.tables import Tables, tables_of

FOLDER = "confusion"
NONE = "none"
_SHOWN = 15  # pairs of classes in the printed table


def confusion_matrix(tables: Tables, key: str) -> tuple[list[str], np.ndarray]:
    """The class ids of a run, and its matrix: int, K x K, or K x K+1 if the net predicted what is no class.

    Raises UserError if there is no such run, or no predictions or class ids of it.
    """
    predictions = tables.predictions
    if any(run_key(row) == key and row["status"] == "diverged" for row in tables.runs):
        raise UserError(f"{tables.folder}: the run {key} has diverged, and a net that has diverged predicts no class")
    for name, what in ((key, "predictions of the run"), (classes_key(key), "class ids for it")):
        if name not in predictions:
            runs = sorted(name for name in predictions if not name.startswith(("label/", "classes/")))
            there = f"predictions of {len(runs)} runs, as {runs[0]}" if runs else "no predictions"
            raise UserError(f"{tables.folder}: no {what} {key}; there are {there}; `summarize` writes them")
    ids = [str(name) for name in predictions[classes_key(key)]]
    label, predicted = predictions[label_key(key)].astype(int), predictions[key].astype(int)
    columns = len(ids) + bool((predicted >= len(ids)).any())
    cells = label * columns + np.minimum(predicted, columns - 1)
    return ids, np.bincount(cells, minlength=len(ids) * columns).reshape(len(ids), columns)


def confusion(exp: Experiment, key: str, tables: Tables, folder: Path) -> str:
    """Writes CSV and figure into `folder`, and returns the table of the pairs confused most, as text."""
    ids, matrix = confusion_matrix(tables, key)
    named = class_names(exp)
    names = [named.get(name, name) for name in ids]
    path = folder / key.replace("/", "-")
    columns = [*ids, NONE][: matrix.shape[1]]
    rows = [{"true": ids[i]} | dict(zip(columns, map(int, matrix[i]), strict=True)) for i in range(len(ids))]
    write_atomic(Path(f"{path}.csv"), csv_text(["true", *columns], rows))
    right, images = int(np.trace(matrix)), int(matrix.sum())
    with style.house_style():
        facts = f"{key}: {right:,} of {images:,} images of V_target recognized, {len(ids)} classes"
        figure.draw(f"{style.dataset_title(exp)}: which classes are confused", facts, names, matrix, path)
    wrong = [(int(matrix[i, j]), i, j) for i, j in np.argwhere(matrix) if i != j]
    most = sorted(wrong, key=lambda pair: (-pair[0], pair[1:]))[:_SHOWN]
    all_names = [*names, NONE]
    lines = [(all_names[i], all_names[j], f"{n} of {matrix[i].sum()}") for n, i, j in most]
    return tabulate(lines, ["true", "predicted", "images"], "plain")


def main(argv: list[str]) -> None:
    parser = cli.parser("confusion", __doc__)
    parser.add_argument("run", help="the run's key: A2B/n0001/FTall/seed20")
    cli.add_from(parser)
    given = parser.parse_args(argv)
    exp = load(given.experiment, given.set)
    folder = results_folder(exp, engine_name()) / FOLDER
    key = "/".join(given.run.strip("/").split("/")[-4:])
    if key.count("/") != 3:
        raise UserError(f"{given.run!r}: no run; give its key, as A2B/n0001/FTall/seed20")
    print(confusion(exp, key, tables_of(exp, given.tables), folder))
    print(f"{folder / key.replace('/', '-')}.csv, .png, .pdf: written")
