"""Accuracy against the size of the target set on a logarithmic axis: one line for each condition of the thesis."""

from pathlib import Path

from matplotlib.ticker import FixedLocator, NullLocator

from tools.figures import NoData, means, style
from tools.protocol.conditions import Condition
from tools.protocol.experiment import Experiment
from tools.results.columns import Row, condition_order

NAME = "by_size"
CAPTION = "Accuracy against the size of the target set (images a class, logarithmic), one line per condition."
COLUMNS = ("condition", "size", "accuracy", "low", "high", "sd", "n", "at_end")
_DODGE = 0.006  # distance between two conditions, where the axis is 1: intervals stand side by side


def draw(exp: Experiment, rows: list[Row], summary: list[Row], folder: Path) -> None:
    """Writes by_size.png, .pdf and .csv from the rows of runs.csv and summary.csv. Raises NoData."""
    with_runs = [row for row in summary if row["n"] and row["size"] != "all"]
    shown = [row for row in with_runs if Condition.of_run(row["condition"]).is_of_thesis]
    sizes = sorted({row["size"] for row in shown})
    if len(sizes) < 2:
        found = ", ".join(map(str, sizes)) or "none"
        raise NoData(f"fewer than two target sizes with a number have runs with the status ok: {found}")
    conditions = sorted({row["condition"] for row in shown}, key=condition_order)
    figure = style.new_figure(4.2)
    axes = figure.subplots()
    axes.set_xscale("log")
    spread = (sizes[-1] / sizes[0]) ** _DODGE
    for rank, condition in enumerate(conditions):
        line = sorted((row for row in shown if row["condition"] == condition), key=lambda row: row["size"])
        places = [row["size"] * spread ** (rank - (len(conditions) - 1) / 2) for row in line]
        look = style.condition_look(condition)
        means.draw_line(axes, places, line, condition, look)
        means.draw_bars(axes, places, line, look["color"])
    axes.xaxis.set_major_locator(FixedLocator(sizes))
    axes.xaxis.set_minor_locator(NullLocator())
    axes.set_xticklabels([f"{size:,}" for size in sizes])
    axes.set_xlabel("images a class in the target set")
    axes.set_ylabel("top-1 accuracy")
    means.explain_rings(axes, shown)
    axes.legend(loc="upper left", bbox_to_anchor=(1.01, 1.0), borderaxespad=0, labelspacing=0.55)
    style.set_title(axes, f"{style.dataset_title(exp)}: accuracy and target size", means.facts(exp, rows, shown))
    by_condition = sorted(shown, key=lambda row: (condition_order(row["condition"]), -row["size"]))
    style.save_table(folder / NAME, COLUMNS, by_condition)
    style.save(figure, folder / NAME)
