"""Accuracy against the size of the target set, on a logarithmic axis: one line a condition of the thesis."""

from pathlib import Path

from matplotlib.ticker import FixedLocator, NullLocator

from tools.common.files import write_atomic
from tools.figures import NoData, is_of_the_thesis, style
from tools.figures import means as means_of
from tools.protocol.experiment import Experiment
from tools.results.columns import Row, condition_order, csv_text

NAME = "by_size"
CAPTION = "Accuracy against the size of the target set (images a class, logarithmic), one line a condition."
COLUMNS = ("condition", "size", "accuracy", "low", "high", "sd", "n")
_DODGE = 0.006  # of the axis, between two conditions: intervals stand side by side


def draw(exp: Experiment, rows: list[Row], means: list[Row], folder: Path) -> None:
    """Writes by_size.png, .pdf and .csv from the rows of runs.csv and summary.csv. Raises NoData."""
    shown = [row for row in means if row["n"] and is_of_the_thesis(row["condition"]) and row["size"] != "all"]
    sizes = sorted({row["size"] for row in shown})
    if len(sizes) < 2:
        raise NoData("fewer than two target sizes with a number")
    conditions = sorted({row["condition"] for row in shown}, key=condition_order)
    figure = style.new_figure(4.2)
    axes = figure.subplots()
    axes.set_xscale("log")
    spread = (sizes[-1] / sizes[0]) ** _DODGE
    for rank, condition in enumerate(conditions):
        line = sorted((row for row in shown if row["condition"] == condition), key=lambda row: row["size"])
        places = [row["size"] * spread ** (rank - (len(conditions) - 1) / 2) for row in line]
        look = style.condition_look(condition)
        axes.plot(places, [row["accuracy"] for row in line], label=condition, **style.on_paper(look))
        means_of.bars(axes, places, line, look["color"])
    axes.xaxis.set_major_locator(FixedLocator(sizes))
    axes.xaxis.set_minor_locator(NullLocator())
    axes.set_xticklabels([f"{size:,}" for size in sizes])
    axes.set_xlabel("images a class in the target set")
    axes.set_ylabel("top-1 accuracy")
    axes.legend(loc="upper left", bbox_to_anchor=(1.01, 1.0), borderaxespad=0, labelspacing=0.55)
    style.head(axes, f"{style.dataset_title(exp)}: accuracy and target size", means_of.facts(exp, rows, shown))
    table = [{name: row.get(name) for name in COLUMNS} for row in shown]
    table.sort(key=lambda row: (condition_order(row["condition"]), -row["size"]))
    write_atomic(folder / f"{NAME}.csv", csv_text(COLUMNS, table))
    style.save(figure, folder / NAME)
