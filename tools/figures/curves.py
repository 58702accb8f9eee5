"""Learning curves: accuracy on the validation images, and log loss, against the iteration.

Those of the source nets are figures 5.4 and 5.5 of the thesis. Any other set of runs can be drawn too.
"""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from matplotlib.axes import Axes
from matplotlib.lines import Line2D

from tools.figures import NoData, style
from tools.protocol.experiment import Experiment
from tools.protocol.layout import HALVES
from tools.protocol.runs import is_source_net
from tools.results.columns import CURVE_COLUMNS, Row, condition_order, run_key, size_order

NAME = "learning_curves"
CAPTION = "Learning curves of the source nets (figures 5.4 and 5.5 of the thesis)."
MAX_RUNS = 12  # more curves in one figure could not be distinguished
_MAX_RAW = 100  # displays; if there are more, the training loss is a running mean over a fiftieth of them
_VALIDATION_DASH = (0, (4, 1.5))


@dataclass(frozen=True)
class Curve:
    """The learning curve of a run."""

    row: Row  # of runs.csv
    tests: np.ndarray  # float64, N x 3: iteration, accuracy, validation loss
    train: np.ndarray  # float64, M x 2: iteration, training loss


def source_nets(exp: Experiment, rows: list[Row]) -> list[Row]:
    """The rows of the source nets of the first seed that has any: one for each half."""
    nets = [row for row in rows if is_source_net(exp, row["size"], row["condition"]) and row["status"] != "failed"]
    first = min((row["seed"] for row in nets), default=None)
    return sorted((row for row in nets if row["seed"] == first), key=lambda row: row["direction"][-1])


def draw(exp: Experiment, rows: list[Row], points: list[Row], folder: Path, name: str = NAME) -> None:
    """Writes `name`.png, .pdf and .csv of the runs `rows` (of runs.csv); `points` are the rows of curves.csv.

    Raises NoData if there are no runs or more than MAX_RUNS, or if one has no curve.
    """
    if not rows:
        raise NoData("no source net has been trained yet, or its training failed")
    if len(rows) > MAX_RUNS:
        raise NoData(f"{len(rows)} runs in one figure; {MAX_RUNS} at most can be told apart")
    curves = [_curve(row, points) for row in rows]
    figure = style.new_figure(4.8)
    accuracy_axes, loss_axes = figure.subplots(2, 1, sharex=True)
    for curve, look, label in zip(curves, _looks(rows), _labels(rows), strict=True):
        _draw_curve(accuracy_axes, loss_axes, curve, look, label)
    accuracy_axes.set_ylabel("top-1 accuracy")
    loss_axes.set_ylabel("log loss")
    loss_axes.set_xlabel("iteration")
    loss_axes.set_ylim(bottom=0)
    loss_axes.xaxis.set_major_formatter("{x:,.0f}")
    last = max(curve.tests[-1, 0] for curve in curves)
    loss_axes.set_xlim(-0.015 * last, 1.015 * last)
    accuracy_axes.legend(loc="upper left", bbox_to_anchor=(1.01, 1.0), borderaxespad=0)
    kinds = [Line2D([], [], color=style.GREY, linestyle=dash) for dash in ("-", _VALIDATION_DASH)]
    loss_axes.legend(kinds, ["training", "validation"], loc="upper left", bbox_to_anchor=(1.01, 1.0), borderaxespad=0)
    style.set_title(accuracy_axes, f"{style.dataset_title(exp)}: {_subject(exp, rows)}", _facts(exp, curves))
    keys = [run_key(row) for row in rows]
    shown = sorted((point for point in points if point["run"] in keys), key=lambda point: keys.index(point["run"]))
    style.save_table(folder / name, CURVE_COLUMNS, shown)
    style.save(figure, folder / name)


def _curve(row: Row, points: list[Row]) -> Curve:
    own = [point for point in points if point["run"] == run_key(row)]
    tests = [(p["iteration"], p["accuracy"], p["validation_loss"]) for p in own if p["accuracy"] is not None]
    train = [(p["iteration"], p["training_loss"]) for p in own if p["training_loss"] is not None]
    if not tests:
        raise NoData(
            f"{row['run']} failed" if row["status"] == "failed" else f"curves.csv has no test of {run_key(row)}"
        )
    return Curve(row, np.array(tests, float), np.array(train, float).reshape(-1, 2))


def _looks(rows: list[Row]) -> list[style.Look]:
    """Colours by condition if these differ, else by size if these differ, else by half; markers by size and half."""
    sizes = sorted({row["size"] for row in rows}, key=size_order)
    kinds = [(size, half) for size in sizes for half in HALVES]
    looks = []
    for row in rows:
        half = row["direction"][-1]
        color = style.HALF_COLORS[half]
        if len({row["condition"] for row in rows}) > 1:
            color = style.condition_look(row["condition"])["color"]
        elif len(sizes) > 1:
            color = style.size_look(sizes.index(row["size"]), len(sizes))["color"]
        marker = style.MARKERS[kinds.index((row["size"], half)) % len(style.MARKERS)]
        looks.append({"color": color, "marker": marker, "markersize": 4})
    return looks


def _labels(rows: list[Row]) -> list[str]:
    """A label for each run of only what differs between them: `half A`, or `S3T, n = 10, half A, seed 1`."""
    words: dict[str, Callable[[Row], str]] = {
        "condition": lambda row: row["condition"],
        "size": lambda row: f"n = {row['size']:,}" if row["size"] != "all" else "all",
        "direction": lambda row: f"half {row['direction'][-1]}",
        "seed": lambda row: f"seed {row['seed']}",
    }
    differing = [word for key, word in words.items() if len({row[key] for row in rows}) > 1] or [words["direction"]]
    return [", ".join(word(row) for word in differing) for row in rows]


def _draw_curve(accuracy_axes: Axes, loss_axes: Axes, curve: Curve, look: style.Look, label: str) -> None:
    look = style.with_white_edges(look)
    iteration, accuracy, loss = curve.tests.T
    # Of outputs that are not numbers BVLC Caffe says that all images are right.
    accuracy_axes.plot(iteration, np.where(np.isfinite(loss), accuracy, np.nan), label=label, **look)
    loss_axes.plot(iteration, loss, linestyle=_VALIDATION_DASH, **look)
    display, train = curve.train.T
    window = _window(curve)
    if window > 1:
        loss_axes.plot(display, train, color=look["color"], linewidth=0.5, alpha=0.25)
        display, train = _running_mean(display, window), _running_mean(train, window)
    loss_axes.plot(display, train, color=look["color"])


def _window(curve: Curve) -> int:
    """How many displays of the training loss are averaged for a point."""
    return len(curve.train) // 50 if len(curve.train) > _MAX_RAW else 1


def _running_mean(values: np.ndarray, window: int) -> np.ndarray:
    """Means of `window` neighbours, without those at the ends that have fewer."""
    return np.convolve(values, np.full(window, 1 / window), "valid")


def _subject(exp: Experiment, rows: list[Row]) -> str:
    if rows == source_nets(exp, rows):
        return "the source nets" if len(rows) > 1 else "the source net"
    return run_key(rows[0]) if len(rows) == 1 else f"{len(rows)} runs"


def in_legend_order(rows: list[Row]) -> list[Row]:
    """The rows by size from the largest, then by condition in the thesis' order, direction and seed."""
    return sorted(
        rows, key=lambda r: (size_order(r["size"]), condition_order(r["condition"]), r["direction"], r["seed"])
    )


def _facts(exp: Experiment, curves: list[Curve]) -> str:
    rows = [curve.row for curve in curves]
    shared = [f"{exp.model}, {max(row['iters'] for row in rows):,} iterations"]
    if len({row["condition"] for row in rows}) == 1:
        shared.append(rows[0]["condition"])
    if len({row["size"] for row in rows}) == 1:
        shared.append(style.short_size_label(rows[0]["size"]))
    if len({row["seed"] for row in rows}) == 1:
        shared.append(f"seed {rows[0]['seed']}")
    facts = [", ".join(shared)]
    flagged = zip(rows, _labels(rows), strict=True)
    facts += [f"{label}: {row['status']}" for row, label in flagged if row["status"] != "ok"]
    if (window := max(map(_window, curves))) > 1:
        facts.append(f"training loss: running mean of {window} displays (pale: each)")
    return "; ".join(facts)
