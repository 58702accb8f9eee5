"""The tables of an experiment: the file and the columns of each, declared once, with what every column means.

`--help` prints these texts, docs/tables.md is checked against them, and a row with other names is an error.
tools/results/cells.py has what a cell of each column may hold.
"""

import csv
import io
import math
import os
from collections.abc import Iterable, Mapping
from collections.abc import Set as AbstractSet
from pathlib import Path
from typing import Any

from tools.common.errors import UserError
from tools.protocol.conditions import Condition
from tools.results.cells import ANYTHING, CONDITION, KINDS, TEXT

Row = dict[str, Any]
Columns = Mapping[str, str]  # name -> what it means

RUNS, SUMMARY, CURVES, CLAIMS = "runs.csv", "summary.csv", "curves.csv", "claims.csv"
CLASSES = "classes.csv"
RETENTION, SCORES, CORRELATIONS = "retention.csv", "scores.csv", "scores_correlation.csv"
PREDICTIONS = "predictions.npz"  # in a run's folder: of that run; in the folder of the tables: of all runs
CLASS_IDS = "classes.json"  # in the folder of a run that was restored: the ids of its classes, in order of the labels
MANIFESTS = "manifests.jsonl"  # in published results: the manifest of every run, one per line

_PLACE = {
    "direction": "A2B: source half A, target half B; B2A: the reverse",
    "size": "images a class in the target set; `all` for a half whose classes differ",
    "condition": "base, FTall, SnT, a control, or `source`",
    "seed": "the seed of split, subsample and solver",
}
RESULT_COLUMNS: Columns = {
    "accuracy": "top-1 accuracy on V_target at the last iteration: the headline",
    "best_accuracy": "the best of all tests after iteration 0",
    "best_iter": "the iteration of that test",
    "loss": "loss on V_target at the last iteration",
    "iters": "iterations trained",
    "seconds": "seconds of training, tests included",
    "images_per_s": "training images a second; blank where the log gives no rate",
}
RUN_COLUMNS: Columns = {
    "dataset": "the data set, as data/cards/ names it",
    **_PLACE,
    **RESULT_COLUMNS,
    "engine": "the engine's name: caffe, torchcaffe",
    "status": "ok, stuck, diverged or failed; only ok runs enter a mean",
    "attempts": "how often the training was started with the same inputs",
    "resumed_at": "iterations at which it went on from a snapshot (`resume: true`), by spaces; blank if at none",
    "run": "the run's folder",
}
SUMMARY_COLUMNS: Columns = {
    "size": _PLACE["size"],
    "condition": _PLACE["condition"],
    "accuracy": "mean accuracy at the last iteration over the n runs (directions and seeds)",
    "sd": "sample standard deviation of these; blank for one run",
    "n": "ok runs in the mean",
    "excluded": "runs left out: stuck, diverged or failed",
    "low": "lower end of the mean's 95 % interval; blank where there is none",
    "high": "upper end of it",
    "seeds": "seeds that have a run in every direction",
    "interval": "what the interval is over: `seeds`, or with one seed `images`",
    "best_accuracy": "mean of the runs' best accuracies",
    "best_iter": "mean of the iterations of these",
    "loss": "mean loss at the last iteration",
    "at_end": "`learning`: their mean validation loss still fell, by more than 1 % over the last fifth of training; "
    "`past best`: it was lowest before, and ended more than 1 % higher; `flat`: neither; blank: too few tests",
}
CURVE_COLUMNS: Columns = {
    "run": "the run's key, A2B/n0300/S3T/seed0",
    "iteration": "an iteration that was displayed or tested",
    "accuracy": "accuracy on V_target; blank where it was not tested",
    "validation_loss": "loss on V_target; blank where it was not tested",
    "training_loss": "training loss: SmoothedLoss of train.csv; in a net with several losses, or with a loss_weight, "
    "the output of the headline's own, not smoothed, and blank at the last iteration; blank where it was not displayed",
}
CLASS_COLUMNS: Columns = {
    "size": _PLACE["size"],
    "condition": _PLACE["condition"],
    "class": "the class: its id in the data set",
    "n": "ok runs that scored it: one a seed that has it in a target half",
    "images": "its validation images, over these runs",
    "accuracy": "share of them that was recognized: the mean over the runs",
    "gain": "its accuracy less that of base, mean over the seeds; blank for base",
    "low": "lower end of its interval; the intervals of all classes of a size and condition hold together with 95 %",
    "high": "upper end of it",
    "seeds": "seeds behind the gain",
    "interval": "what the interval is over: `seeds`, or of a class that one seed has `images`",
}
CLAIM_COLUMNS: Columns = {
    "claims": "the file of claims that it is in, without .yaml; p is corrected for the number of claims in this file",
    "claim": "its name: C1 to C18, or yours",
    "verdict": "holds, fails, undecided or not applicable: over seeds, corrected for the number of claims (Holm)",
    "these_nets": "the verdict of the same test over validation images: of the very nets that were trained",
    "text": "what the claim says",
    "n": "runs behind it",
    "seeds": "seeds behind it",
    "interval": "what the interval is over: seeds, images or conditions",
    "effect": "the comparison that the answer depends on, named in `at`",
    "low": "lower end of its 95 % interval, not corrected",
    "high": "upper end of it",
    "unit": "of effect, low and high: accuracy, iterations or rho",
    "p": "two-sided p-value",
    "p_corrected": "the same after Holm's correction",
    "margin": "how near counts as equal, where the claim has a margin",
    "at": "the comparison that the answer depends on",
    "sizes": "the target sizes that enter",
    "more_seeds": "at least so many more seeds would decide it; blank where 200 would not, or one seed has no spread",
    "note": "why it is undecided or not applicable",
}
RETENTION_COLUMNS: Columns = {
    **_PLACE,
    "source_accuracy": "the source net's own accuracy on V_source",
    "own_fc8": "the run's layers 1..7 under the source net's classifier, on V_source; blank if none was copied",
    "new_fc8": "its layers 1..7, frozen, under a classifier trained anew on N_source",
    "target_accuracy": "the run's accuracy on V_target",
    "run": "the run's folder",
}
SCORE_NAMES = ("leep", "logme", "h_score", "h_score_shrunk", "probe", "cka")
SCORE_COLUMNS: Columns = {
    "direction": _PLACE["direction"],
    "size": _PLACE["size"],
    "seed": _PLACE["seed"],
    "condition": "SnT or FTall",
    "layer": "its last copied layer",
    "images": "images scored",
    "features": "values an image that the layer gives",
    "leep": "LEEP of the source net as a whole",
    "logme": "LogME of the layer's features",
    "h_score": "H-score of the layer's features",
    "h_score_shrunk": "H-score with a shrunk covariance",
    "probe": "accuracy on V_target of a linear classifier on the layer's features, fitted on the images scored",
    "cka": "likeness (linear CKA) of the layer's features and those of base on V_target; blank without base",
    "accuracy": "the measured accuracy of the run; blank where it is not ok",
}
CORRELATION_COLUMNS: Columns = {
    "score": "the score's column in scores.csv",
    "against": "`depth` (among the SnT of a target set), or a condition (among target sets)",
    "rho": "Spearman's rank correlation of score and accuracy; for `depth` the mean over the target sets",
    "low": "for `depth`: lower end of its 95 % interval over the seeds; blank with one seed",
    "high": "upper end of it",
    "p": "p-value of a permutation test",
    "n": "target sets",
    "seeds": "seeds that have one of them",
}
TABLES: Mapping[str, Columns] = {
    RUNS: RUN_COLUMNS,
    SUMMARY: SUMMARY_COLUMNS,
    CURVES: CURVE_COLUMNS,
    CLASSES: CLASS_COLUMNS,
    CLAIMS: CLAIM_COLUMNS,
    RETENTION: RETENTION_COLUMNS,
    SCORES: SCORE_COLUMNS,
    CORRELATIONS: CORRELATION_COLUMNS,
}
ROW_NAMES: Mapping[str, tuple[str, ...]] = {
    RUNS: ("direction", "size", "condition", "seed"),
    SUMMARY: ("size", "condition"),
    CURVES: ("run", "iteration"),
    CLASSES: ("size", "condition", "class"),
    CLAIMS: ("claims", "claim"),
    RETENTION: ("direction", "size", "condition", "seed"),
    SCORES: ("direction", "size", "condition", "seed"),
    CORRELATIONS: ("score", "against"),
}  # table -> the columns that name a row: never blank, and no two rows have the same
FILLED: Mapping[str, tuple[str, ...]] = {RUNS: ("dataset", "status", "run"), SUMMARY: ("n",)}  # never blank, either
NAMES = {"claim", "claims", "class", "condition", "dataset", "layer", "run"}  # as text: a class may be called 001
_AGAIN = "summarize or publish the experiment again"
_SHOWN = 20  # faults of one table


def engine_name() -> str:
    """The name of the engine in CAFFE, which need not be on this machine."""
    return Path(os.environ.get("CAFFE") or "caffe").name


def size_order(size: int | str) -> float:
    """A sort key: `all` first, then the largest."""
    return float("-inf") if isinstance(size, str) else -size


def condition_order(name: str) -> tuple[Any, ...]:
    """A sort key: base, FTall, S1T, S2T, ..., the controls, `source`. Raises ValueError for other names."""
    return Condition.of_run(name).order


def run_key(row: Row) -> str:
    """A2B/n0300/S3T/seed0, of a row of runs.csv."""
    return "/".join(Path(row["run"]).parts[-4:])


def label_key(key: str) -> str:
    """The name in predictions.npz of the labels that the run `key` was scored against: label/A2B/seed0."""
    direction, _, _, seed = key.split("/")
    return f"label/{direction}/{seed}"


def classes_key(key: str) -> str:
    """The name in predictions.npz of the class ids of the run `key`, in the order of the labels: classes/A2B/seed0."""
    direction, _, _, seed = key.split("/")
    return f"classes/{direction}/{seed}"


def row_of(columns: Iterable[str], **values: Any) -> Row:
    """A row with every column; a column without a value is blank. Raises KeyError for a value that has no column."""
    row: Row = dict.fromkeys(columns)
    unknown = sorted(values.keys() - row.keys())
    if unknown:
        raise KeyError(f"no column {', '.join(unknown)}")
    return row | values


def whole_row(columns: Iterable[str], **values: Any) -> Row:
    """A row with a value for every column. Raises KeyError for a column without a value, or the other way round."""
    names = set(columns)
    if names != values.keys():
        raise KeyError(f"columns and values differ by {', '.join(sorted(names ^ values.keys()))}")
    return values


def csv_text(columns: Iterable[str], rows: Iterable[Row]) -> str:
    """A header and a line per row; None is a blank cell. Raises KeyError as `whole_row` does."""
    names = list(columns)
    out = io.StringIO()
    writer = csv.DictWriter(out, names, lineterminator="\n")
    writer.writeheader()
    for row in rows:
        writer.writerow(whole_row(names, **row))
    return out.getvalue()


class NoColumn(UserError, KeyError):
    """A table has no column of that name. The text names both."""

    __str__ = Exception.__str__  # KeyError's would put the text in quotes


class _RowOfFile(Row):
    """A row that knows its file, for the error where a table of an older version, or made by hand, lacks a column."""

    def __init__(self, cells: Row, path: Path) -> None:
        super().__init__(cells)
        self._path = path

    def __missing__(self, name: str) -> None:
        raise NoColumn(f"{self._path}: no column {name}; {_AGAIN}")


def read_log_csv(path: Path) -> list[Row]:
    """A run's train.csv or test.csv as `read_csv` reads it; its columns have the names of a net's outputs: numbers."""
    return read_csv(path, frozenset(), "parse the run's log again")


def read_csv(path: Path, names: AbstractSet[str] = NAMES, again: str = _AGAIN) -> list[Row]:
    """Rows by column. A blank cell is None; a cell of a column that its table declares is of that column's kind.

    Cells of other columns and tables: `names` as text, a number as int where it can be one, else as float.
    row[name] of a column that the file lacks raises NoColumn. Raises UserError for a table that was cut or edited, with
    all faults and their lines: more or fewer cells than columns, semicolons, no UTF-8, a value that its column cannot
    have, two rows of the same name.
    """
    with open(path, encoding="utf-8-sig", newline="") as file:  # some spreadsheets begin with a byte order mark
        lines = csv.reader(file)
        try:
            header = next(lines, [])
            reader = _Reader(path, header, names)
            for cells in lines:
                if cells:  # not a blank line
                    reader.read(cells, lines.line_num)
        except UnicodeDecodeError:
            raise UserError(f"{path}: not UTF-8; save it so, or {again}") from None
        except (ValueError, csv.Error) as error:
            raise UserError(f"{path}:{lines.line_num}: {error}; {again}") from None
    if reader.faults:
        more = len(reader.faults) - _SHOWN
        shown = [*reader.faults[:_SHOWN], *([f"{path}: and {more:,} more faults"] if more > 0 else [])]
        raise UserError("\n".join(shown) + f"; {again}")
    return reader.rows


class _Reader:
    """Reads the lines of a table, and collects their faults. Raises ValueError for a header that is none."""

    def __init__(self, path: Path, header: list[str], names: AbstractSet[str]) -> None:
        if ";" in (header or [""])[0]:
            raise ValueError("semicolons between the cells, as some spreadsheets save them, and not commas")
        if twice := sorted({name for name in header if header.count(name) > 1}):
            raise ValueError(f"the column {twice[0]!r} is there twice; keep one")
        declared = TABLES.get(path.name, {})
        kinds = {name: KINDS[name] if name in declared else TEXT if name in names else ANYTHING for name in header}
        if "condition" in names & kinds.keys():
            kinds["condition"] = CONDITION
        self._path, self._kinds = path, list(kinds.items())
        row_names = ROW_NAMES.get(path.name, ())
        self._row_names = row_names if kinds.keys() >= set(row_names) else ()  # older tables lack a column
        self._filled = [name for name in (*self._row_names, *FILLED.get(path.name, ())) if name in kinds]
        self._lines: dict[tuple[Any, ...], int] = {}  # the names of a row -> its line
        self.rows: list[Row] = []
        self.faults: list[str] = []

    def read(self, cells: list[str], line: int) -> None:
        faults = []
        row = _RowOfFile({}, self._path)
        if len(cells) != len(self._kinds):
            faults.append("not as many cells as columns: the table was cut or edited")
        else:
            for text, (name, kind) in zip(cells, self._kinds, strict=True):
                try:
                    row[name] = kind.read(text) if text else None
                except (ValueError, OverflowError) as error:
                    faults.append(f"{name}: found {text!r}; right is {kind.right}" if kind.right else str(error))
            faults += [f"{name}: blank; every row has one" for name in self._filled if row.get(name, "") is None]
        if not faults:
            faults = [*self._doubled(row, line), *(_faults_of_run(row) if self._path.name == RUNS else [])]
        self.faults += [f"{self._path}:{line}: {fault}" for fault in faults]
        self.rows.append(row)

    def _doubled(self, row: Row, line: int) -> list[str]:
        if not self._row_names:
            return []
        first = self._lines.setdefault(tuple([row[name] for name in self._row_names]), line)
        return [] if first == line else [f"the same {', '.join(self._row_names)} as in line {first}; keep one of them"]


def _faults_of_run(row: Row) -> list[str]:
    """What is wrong between the cells of a row of runs.csv."""
    from tools.protocol.layout import Run  # and pydantic: `parse` needs neither

    accuracy, faults = row.get("accuracy"), []
    if row.get("status") in ("ok", "stuck") and "accuracy" in row and (accuracy is None or math.isnan(accuracy)):
        found = "blank" if accuracy is None else accuracy
        faults.append(f"accuracy: {found} in a row with status {row['status']}; right is a share between 0 and 1")
    if row.keys() >= {*ROW_NAMES[RUNS], "run"}:
        key = Run("", row["direction"], row["size"], row["condition"], row["seed"]).key
        if run_key(row) != key:
            faults.append(f"run: found {row['run']!r}; the row's other cells name {key}")
    return faults


def with_columns(columns: Iterable[str], rows: Iterable[Row]) -> list[Row]:
    """The rows of an older table with these columns and no others, blank where it has none."""
    names = list(columns)
    return [{name: row.get(name) for name in names} for row in rows]
