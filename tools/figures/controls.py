"""The controls beside the transfer they control, against the depth: one panel a target size, one line a kind.

As in figure 2 of Yosinski et al. (2014), whose question the thesis asks again: SnT copied and frozen, TnT the same from
the net's own half (selffer), SnT+ and TnT+ fine-tuned, RnT random and frozen.
"""

import math
from pathlib import Path

from matplotlib.axes import Axes
from matplotlib.ticker import MultipleLocator

from tools.common.files import write_atomic
from tools.figures import NoData, style
from tools.figures import means as means_of
from tools.protocol.experiment import Experiment
from tools.results.columns import Row, condition_order, csv_text, size_order

NAME = "controls"
CAPTION = "Transfer (SnT) and its controls by depth n, one panel a target size; the dotted line is base."
COLUMNS = ("size", "condition", "accuracy", "low", "high", "sd", "n")
_KINDS = ["S", "T", "S+", "T+", "R"]  # in the order of the legend
_ACROSS = 3  # panels side by side
_DODGE = 0.07  # of a depth, between two kinds


def draw(exp: Experiment, rows: list[Row], means: list[Row], folder: Path) -> None:
    """Writes controls.png, .pdf and .csv from the rows of runs.csv and summary.csv. Raises NoData without controls."""
    known = [row for row in means if row["n"] and style.family_of(row["condition"])[0]]
    kinds = sorted({style.family_of(row["condition"])[0] for row in known}, key=_KINDS.index)
    if kinds in ([], ["S"]):
        raise NoData("no control condition has been run")
    sizes = [size for size in sorted({row["size"] for row in known}, key=size_order) if _has_control(known, size)]
    shown = [row for row in means if row["size"] in sizes and (row in known or row["condition"] == "base") and row["n"]]
    across = min(_ACROSS, len(sizes))
    figure = style.new_figure(0.9 + 2.5 * math.ceil(len(sizes) / across))
    panels = figure.subplots(math.ceil(len(sizes) / across), across, sharex=True, sharey=True, squeeze=False).ravel()
    for axes, size in zip(panels, sizes, strict=False):
        _panel(axes, [row for row in shown if row["size"] == size], kinds)
        axes.set_title(means_of.size_label(size), fontsize=9, fontweight="normal")
    for axes in panels[len(sizes) :]:
        axes.set_visible(False)
    for axes in panels[::across]:
        axes.set_ylabel("top-1 accuracy")
    handles, labels = panels[0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside right center")
    title = f"{style.dataset_title(exp)}: transfer and its controls"
    style.head_of_all(figure, title, means_of.facts(exp, rows, shown))
    figure.get_layout_engine().set(rect=(0, 0, 1, 1 - style.HEAD / figure.get_figheight()))
    table = sorted(shown, key=lambda row: (size_order(row["size"]), condition_order(row["condition"])))
    write_atomic(
        folder / f"{NAME}.csv", csv_text(COLUMNS, [{name: row.get(name) for name in COLUMNS} for row in table])
    )
    style.save(figure, folder / NAME)


def _has_control(rows: list[Row], size: int | str) -> bool:
    return any(row["size"] == size and style.family_of(row["condition"])[0] != "S" for row in rows)


def _panel(axes: Axes, rows: list[Row], kinds: list[str]) -> None:
    """The lines of one target size: each point in its condition's own colour, the line in the kind's middle one."""
    base = [row for row in rows if row["condition"] == "base"]
    if base:
        axes.axhline(base[0]["accuracy"], color=style.GREY, linewidth=1, linestyle=(0, (1, 2)), label="base")
    for rank, kind in enumerate(kinds):
        line = [(n, row) for row in rows for k, n in [style.family_of(row["condition"])] if k == kind]
        line.sort(key=lambda pair: pair[0])
        middle = style.condition_look(f"{kind[0]}4T{kind[1:]}")
        name = f"{kind[0]}nT{kind[1:]}"
        places = [n + (rank - (len(kinds) - 1) / 2) * _DODGE for n, _ in line]
        axes.plot(places, [row["accuracy"] for _, row in line], label=name, zorder=2, **style.on_paper(middle))
        for place, (_, row) in zip(places, line, strict=True):
            look = style.condition_look(row["condition"])
            axes.plot(place, row["accuracy"], zorder=3, **style.on_paper(look | {"marker": middle["marker"]}))
            means_of.bars(axes, [place], [row], look["color"])
    axes.set_xlabel("n")
    axes.xaxis.set_major_locator(MultipleLocator(1))
