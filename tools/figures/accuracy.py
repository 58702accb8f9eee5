"""Figures 6.1 and 6.2 of the thesis: accuracy after the last iteration by condition, one line a target size."""

from collections.abc import Iterable
from pathlib import Path

from matplotlib.axes import Axes

from tools.experiment import Experiment
from tools.figures import NoData, style
from tools.files import read_json, write_atomic
from tools.layout import split_of
from tools.results import Row, condition_order, csv_text, size_order

NAME = "accuracy"
COLUMNS = ("size", "condition", "accuracy", "sd", "n")
_DODGE = 0.055  # of the way to the next condition, between two sizes: error bars stand side by side
_REACH = 0.6  # of the curves' height: how far below them chance is still drawn


def draw(exp: Experiment, rows: list[Row], means: list[Row], folder: Path) -> None:
    """Writes accuracy.png, .pdf and .csv from the rows of runs.csv and summary.csv. Raises NoData."""
    shown = [row for row in means if row["n"] and row["condition"] != "source"]
    if not shown:
        raise NoData("no run whose accuracy may be believed")
    if len(shown) == 1:
        raise NoData("one size and one condition: nothing to compare")
    conditions = sorted({row["condition"] for row in shown}, key=condition_order)
    sizes = sorted({*exp.sizes, *(row["size"] for row in shown)}, key=size_order)  # all, so that a size keeps its look
    figure = style.new_figure(4.0)
    axes = figure.subplots()
    for rank, size in enumerate(sizes):
        line = [row for row in shown if row["size"] == size]
        if line:
            places = [conditions.index(row["condition"]) + (rank - (len(sizes) - 1) / 2) * _DODGE for row in line]
            _line(axes, places, line, label(size), style.size_look(rank, len(sizes)))
    _chance(exp, axes)
    axes.set_xticks(range(len(conditions)), conditions)
    axes.set_xlim(-0.5, len(conditions) - 0.5)
    axes.grid(axis="x", visible=False)
    axes.set_ylabel("top-1 accuracy")
    axes.legend(loc="upper left", bbox_to_anchor=(1.01, 1.0), borderaxespad=0, labelspacing=0.6)
    style.head(axes, f"{style.dataset_title(exp)}: transfer to the other half of the classes", _facts(exp, rows, shown))
    write_atomic(folder / f"{NAME}.csv", csv_text(COLUMNS, [{name: row[name] for name in COLUMNS} for row in shown]))
    style.save(figure, folder / NAME)


def label(size: int | str) -> str:
    return "all images" if size == "all" else f"{size:,} image{'s' * (size != 1)} a class"


def _line(axes: Axes, places: list[float], line: list[Row], name: str, look: dict) -> None:
    look = look | {"markeredgecolor": "white", "markeredgewidth": 0.5}
    axes.plot(places, [row["accuracy"] for row in line], label=name, **look)
    spread = [(x, row["accuracy"], row["sd"]) for x, row in zip(places, line, strict=True) if row["sd"] is not None]
    if spread:
        x, y, sd = zip(*spread, strict=True)
        axes.errorbar(x, y, sd, fmt="none", ecolor=look["color"], elinewidth=0.8, alpha=0.8, zorder=1.5)


def _chance(exp: Experiment, axes: Axes) -> None:
    """Chance, 1/k, if the split still says what k is: a dotted line, or a word where that would flatten the curves."""
    split = read_json(split_of(exp, exp.seeds[0]).marker)
    if split is None:
        return
    chance = 1 / len(split["classes"]["A"])
    low, high = axes.get_ylim()
    near = chance > low - _REACH * (high - low)
    if near:
        axes.axhline(chance, color=style.GREY, linewidth=0.9, linestyle=(0, (1, 2)), zorder=1)
    axes.annotate(
        f"chance: {chance:.3g}" + ("" if near else ", below"),
        (1, chance) if near else (1, 0),
        (4, 0),
        ("axes fraction", "data" if near else "axes fraction"),
        "offset points",
        va="center",
        fontsize=8,
        color=style.GREY,
    )


def _facts(exp: Experiment, rows: list[Row], shown: list[Row]) -> str:
    believed = [row for row in rows if row["status"] == "ok"]
    seeds, directions = (len({row[key] for row in believed}) for key in ("seed", "direction"))
    count = _span(row["n"] for row in shown)
    mean = "one run" if count == "1" else f"mean ± sd of {count} runs"
    over = f"{directions} direction{'s' * (directions != 1)}, {seeds} seed{'s' * (seeds != 1)}"
    return f"{exp.model}, {_span(row['iters'] for row in believed)} iterations; {mean} a point ({over})"


def _span(values: Iterable[int]) -> str:
    """300, or 200 to 300."""
    found = sorted(values)
    low, high = found[0], found[-1]
    return f"{low:,}" if low == high else f"{low:,} to {high:,}"
