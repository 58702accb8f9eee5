"""Figures 5.4 and 5.5 of the thesis: accuracy on the validation half, and log loss, against the iteration."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.axes import Axes

from caffeformat import FormatError, prototxt
from tools.experiment import Experiment
from tools.figures import NoData, style
from tools.files import write_atomic
from tools.rendering import NET, headline_outputs
from tools.results import Row, csv_text, read_csv

NAME = "learning_curves"
COLUMNS = ("run", "iteration", "accuracy", "validation_loss", "training_loss")
_SMOOTH = 100  # displays: with more, the training loss is drawn as a running mean of a fiftieth of them


@dataclass(frozen=True)
class Curve:
    row: Row  # of runs.csv
    tests: np.ndarray  # float64, N x 3: iteration, accuracy, validation loss
    train: np.ndarray  # float64, M x 2: iteration, training loss


def source_nets(exp: Experiment, rows: list[Row]) -> list[Row]:
    """The source nets of the first seed that has any: one a half."""
    kind = (exp.full_size, "source" if exp.mean == "source" else "base")
    nets = [row for row in rows if (row["size"], row["condition"]) == kind and row["status"] != "failed"]
    first = min((row["seed"] for row in nets), default=None)
    return sorted((row for row in nets if row["seed"] == first), key=lambda row: row["direction"][-1])


def draw(exp: Experiment, rows: list[Row], folder: Path, name: str = NAME) -> None:
    """Writes `name`.png, .pdf and .csv for the given rows of runs.csv, at most one a half. Raises NoData."""
    if not rows:
        raise NoData("no source net has been trained yet")
    curves = [_read(row) for row in rows]
    figure = style.new_figure(4.8)
    above, below = figure.subplots(2, 1, sharex=True)
    for curve in curves:
        _draw(above, below, curve)
    above.set_ylabel("top-1 accuracy")
    below.set_ylabel("log loss")
    below.set_xlabel("iteration")
    below.set_ylim(bottom=0)
    below.xaxis.set_major_formatter("{x:,.0f}")
    last = max(curve.tests[-1, 0] for curve in curves)
    below.set_xlim(-0.015 * last, 1.015 * last)
    for axes in (above, below):
        axes.legend(loc="upper left", bbox_to_anchor=(1.01, 1.0), borderaxespad=0)
    style.head(above, f"{style.dataset_title(exp)}: {_what(exp, rows)}", _facts(exp, curves))
    write_atomic(folder / f"{name}.csv", csv_text(COLUMNS, [cells for curve in curves for cells in _cells(curve)]))
    style.save(figure, folder / name)


def _read(row: Row) -> Curve:
    folder = Path(row["run"])
    if row["status"] == "failed":
        raise NoData(f"{folder} failed")
    try:
        accuracy, loss = headline_outputs(prototxt.read_net(folder / NET), folder / NET)
        tests = [r for r in read_csv(folder / "test.csv") if r["TestNet"] == 0]
        train = [r for r in read_csv(folder / "train.csv") if r["SmoothedLoss"] is not None]
    except FileNotFoundError as error:
        raise NoData(f"{error.filename} is not there") from None
    except FormatError as error:
        raise NoData(str(error)) from None
    return Curve(
        row,
        np.array([(r["NumIters"], r[accuracy], r[loss]) for r in tests], float),
        np.array([(r["NumIters"], r["SmoothedLoss"]) for r in train], float).reshape(-1, 2),
    )


def _draw(above: Axes, below: Axes, curve: Curve) -> None:
    half = curve.row["direction"][-1]
    color, marker = style.HALVES[half], {"A": "o", "B": "s"}[half]
    iteration, accuracy, loss = curve.tests.T
    look = {"color": color, "marker": marker, "markersize": 4, "markeredgecolor": "white", "markeredgewidth": 0.5}
    above.plot(iteration, accuracy, label=f"half {half}, validation", **look)
    below.plot(iteration, loss, label=f"half {half}, validation", linestyle=(0, (4, 1.5)), **look)
    at, train = curve.train.T
    window = _window(curve)
    if window > 1:
        below.plot(at, train, color=color, linewidth=0.5, alpha=0.25)
        at, train = _running_mean(at, window), _running_mean(train, window)
    below.plot(at, train, color=color, label=f"half {half}, training")


def _window(curve: Curve) -> int:
    return len(curve.train) // 50 if len(curve.train) > _SMOOTH else 1


def _running_mean(values: np.ndarray, window: int) -> np.ndarray:
    """Means of `window` neighbours, only where all of them are there."""
    return np.convolve(values, np.full(window, 1 / window), "valid")


def _what(exp: Experiment, rows: list[Row]) -> str:
    if rows == source_nets(exp, rows):
        return "the source nets" if len(rows) > 1 else "the source net"
    return ", ".join("/".join(Path(row["run"]).parts[-4:]) for row in rows)


def _facts(exp: Experiment, curves: list[Curve]) -> str:
    first = curves[0].row
    facts = [f"{exp.model}, {first['iters']:,} iterations, seed {first['seed']}"]
    facts += [f"half {c.row['direction'][-1]}: {c.row['status']}" for c in curves if c.row["status"] != "ok"]
    if (window := max(map(_window, curves))) > 1:
        facts.append(f"training loss: running mean of {window} displays (pale: each)")
    return "; ".join(facts)


def _cells(curve: Curve) -> list[Row]:
    """One row an iteration that was tested or displayed."""
    found: dict[int, dict[str, Any]] = {}
    for iteration, accuracy, loss in curve.tests:
        found.setdefault(int(iteration), {}).update(accuracy=float(accuracy), validation_loss=float(loss))
    for iteration, loss in curve.train:
        found.setdefault(int(iteration), {}).update(training_loss=float(loss))
    return [{"run": curve.row["run"], "iteration": at, **found[at]} for at in sorted(found)]
