"""Learning curves: accuracy on the validation half, and log loss, against the iteration.

Of the source nets they are figures 5.4 and 5.5 of the thesis; any other set of runs can be drawn the same way.
"""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from matplotlib.axes import Axes
from matplotlib.lines import Line2D

from tools.common.files import write_atomic
from tools.figures import NoData, style
from tools.protocol.experiment import Experiment
from tools.results.columns import Row, condition_order, csv_text, run_key, size_order

NAME = "learning_curves"
CAPTION = "Learning curves of the source nets (figures 5.4 and 5.5 of the thesis)."
COLUMNS = ("run", "iteration", "accuracy", "validation_loss", "training_loss")
MOST = 12  # runs in one figure that can still be told apart
_SMOOTH = 100  # displays: with more, the training loss is drawn as a running mean of a fiftieth of them
_VALIDATION = (0, (4, 1.5))


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


def draw(exp: Experiment, rows: list[Row], points: list[Row], folder: Path, name: str = NAME) -> None:
    """Writes `name`.png, .pdf and .csv for the given rows of runs.csv; `points` are the rows of curves.csv.

    Raises NoData where there is no run, one has no curve, or there are more than MOST.
    """
    if not rows:
        raise NoData("no source net has been trained yet")
    if len(rows) > MOST:
        raise NoData(f"{len(rows)} runs in one figure; {MOST} at most can be told apart")
    curves = [_curve(row, points) for row in rows]
    figure = style.new_figure(4.8)
    above, below = figure.subplots(2, 1, sharex=True)
    for curve, look, label in zip(curves, _looks(rows), _labels(rows), strict=True):
        _draw(above, below, curve, look, label)
    above.set_ylabel("top-1 accuracy")
    below.set_ylabel("log loss")
    below.set_xlabel("iteration")
    below.set_ylim(bottom=0)
    below.xaxis.set_major_formatter("{x:,.0f}")
    last = max(curve.tests[-1, 0] for curve in curves)
    below.set_xlim(-0.015 * last, 1.015 * last)
    above.legend(loc="upper left", bbox_to_anchor=(1.01, 1.0), borderaxespad=0)
    kinds = [Line2D([], [], color=style.GREY, linestyle=dash) for dash in ("-", _VALIDATION)]
    below.legend(kinds, ["training", "validation"], loc="upper left", bbox_to_anchor=(1.01, 1.0), borderaxespad=0)
    style.head(above, f"{style.dataset_title(exp)}: {_what(exp, rows)}", _facts(exp, curves))
    keys = [run_key(row) for row in rows]
    shown = sorted((point for point in points if point["run"] in keys), key=lambda point: keys.index(point["run"]))
    write_atomic(folder / f"{name}.csv", csv_text(COLUMNS, shown))
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


def _looks(rows: list[Row]) -> list[dict]:
    """A run has its condition's colour where conditions differ, else its size's or half's; markers by size and half."""
    sizes = sorted({row["size"] for row in rows}, key=size_order)
    kinds = [(size, half) for size in sizes for half in "AB"]
    looks = []
    for row in rows:
        half = row["direction"][-1]
        color = style.HALVES[half]
        if len({row["condition"] for row in rows}) > 1:
            color = style.condition_look(row["condition"])["color"]
        elif len(sizes) > 1:
            color = style.size_look(sizes.index(row["size"]), len(sizes))["color"]
        marker = style.MARKERS[kinds.index((row["size"], half)) % len(style.MARKERS)]
        looks.append({"color": color, "marker": marker, "markersize": 4})
    return looks


def _labels(rows: list[Row]) -> list[str]:
    """What tells a run from the others: `half A`, or `S3T, 10 images a class, to half A, seed 1` as far as needed."""
    words = {
        "condition": lambda row: row["condition"],
        "size": lambda row: f"n = {row['size']:,}" if row["size"] != "all" else "all",
        "direction": lambda row: f"half {row['direction'][-1]}",
        "seed": lambda row: f"seed {row['seed']}",
    }
    telling = [word for key, word in words.items() if len({row[key] for row in rows}) > 1] or [words["direction"]]
    return [", ".join(word(row) for word in telling) for row in rows]


def _draw(above: Axes, below: Axes, curve: Curve, look: dict, label: str) -> None:
    look = style.on_paper(look)
    iteration, accuracy, loss = curve.tests.T
    above.plot(iteration, accuracy, label=label, **look)
    below.plot(iteration, loss, linestyle=_VALIDATION, **look)
    at, train = curve.train.T
    window = _window(curve)
    if window > 1:
        below.plot(at, train, color=look["color"], linewidth=0.5, alpha=0.25)
        at, train = _running_mean(at, window), _running_mean(train, window)
    below.plot(at, train, color=look["color"])


def _window(curve: Curve) -> int:
    return len(curve.train) // 50 if len(curve.train) > _SMOOTH else 1


def _running_mean(values: np.ndarray, window: int) -> np.ndarray:
    """Means of `window` neighbours, only where all of them are there."""
    return np.convolve(values, np.full(window, 1 / window), "valid")


def _what(exp: Experiment, rows: list[Row]) -> str:
    if rows == source_nets(exp, rows):
        return "the source nets" if len(rows) > 1 else "the source net"
    return run_key(rows[0]) if len(rows) == 1 else f"{len(rows)} runs"


def in_order(rows: list[Row]) -> list[Row]:
    """The rows in the order of a legend: sizes from the largest, the thesis' conditions, directions, seeds."""
    return sorted(
        rows, key=lambda r: (size_order(r["size"]), condition_order(r["condition"]), r["direction"], r["seed"])
    )


def _facts(exp: Experiment, curves: list[Curve]) -> str:
    rows = [curve.row for curve in curves]
    shared = [f"{exp.model}, {max(row['iters'] for row in rows):,} iterations"]
    if len({row["condition"] for row in rows}) == 1:
        shared.append(rows[0]["condition"])
    if len({row["size"] for row in rows}) == 1:
        shared.append(style.size_words(rows[0]["size"]))
    if len({row["seed"] for row in rows}) == 1:
        shared.append(f"seed {rows[0]['seed']}")
    facts = [", ".join(shared)]
    flagged = zip(rows, _labels(rows), strict=True)
    facts += [f"{label}: {row['status']}" for row, label in flagged if row["status"] != "ok"]
    if (window := max(map(_window, curves))) > 1:
        facts.append(f"training loss: running mean of {window} displays (pale: each)")
    return "; ".join(facts)
