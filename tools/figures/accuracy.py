"""Figures 6.1 and 6.2 of the thesis: accuracy after the last iteration by condition, one line per target size."""

from pathlib import Path

from matplotlib.axes import Axes

from tools.common.files import read_json
from tools.figures import NoData, means, style
from tools.protocol.conditions import Condition
from tools.protocol.experiment import Experiment
from tools.protocol.layout import split_of
from tools.results.columns import Row, condition_order, size_order

NAME = "accuracy"
CAPTION = "Accuracy at the last iteration by condition, one line per target size (figures 6.1 and 6.2 of the thesis)."
COLUMNS = ("size", "condition", "accuracy", "sd", "low", "high", "n", "at_end")
_DODGE = 0.055  # distance between two sizes, where that between conditions is 1: error bars stand side by side
_REACH = 0.6  # how far below the curves chance is still drawn; the height of the curves is 1


def draw(exp: Experiment, rows: list[Row], summary: list[Row], folder: Path) -> None:
    """Writes accuracy.png, .pdf and .csv from the rows of runs.csv and summary.csv. Raises NoData."""
    shown = [row for row in summary if row["n"] and Condition.of_run(row["condition"]).is_of_thesis]
    if not shown:
        raise NoData("no run of base, FTall or SnT with the status ok")
    if len(shown) == 1:
        raise NoData("one size and one condition: nothing to compare")
    conditions = sorted({row["condition"] for row in shown}, key=condition_order)
    # Sizes without runs count too, so that every size keeps its look.
    sizes = sorted({*exp.sizes, *(row["size"] for row in shown)}, key=size_order)
    figure = style.new_figure(4.0)
    axes = figure.subplots()
    for rank, size in enumerate(sizes):
        line = [row for row in shown if row["size"] == size]
        if line:
            places = [conditions.index(row["condition"]) + (rank - (len(sizes) - 1) / 2) * _DODGE for row in line]
            look = style.size_look(rank, len(sizes))
            means.draw_line(axes, places, line, style.size_label(size), look)
            means.draw_bars(axes, places, line, look["color"])
    _chance(exp, axes)
    axes.set_xticks(range(len(conditions)), conditions)
    axes.set_xlim(-0.5, len(conditions) - 0.5)
    axes.grid(axis="x", visible=False)
    axes.set_ylabel("top-1 accuracy")
    means.explain_rings(axes, shown)
    axes.legend(loc="upper left", bbox_to_anchor=(1.01, 1.0), borderaxespad=0, labelspacing=0.6)
    title = f"{style.dataset_title(exp)}: transfer to the other half of the classes"
    style.set_title(axes, title, means.facts(exp, rows, shown))
    style.save_table(folder / NAME, COLUMNS, shown)
    style.save(figure, folder / NAME)


def _chance(exp: Experiment, axes: Axes) -> None:
    """Draws chance, 1/k, if there is a split that tells k: a dotted line, or a word if it is far below the curves."""
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
