"""Transfer and its controls against the depth n: one panel for each target size, one line for each kind of condition.

As figure 2 of Yosinski et al. (2014), whose question the thesis studies on smaller data sets. SnT: copied and frozen.
TnT: the same, copied from a net that was trained on the same half (selffer). SnT+, TnT+: fine-tuned. RnT: random and
frozen.
"""

import math
from pathlib import Path

from matplotlib.axes import Axes
from matplotlib.layout_engine import ConstrainedLayoutEngine
from matplotlib.ticker import MultipleLocator

from tools.figures import NoData, means, style
from tools.protocol.conditions import Condition
from tools.protocol.experiment import Experiment
from tools.results.columns import Row, condition_order, size_order

NAME = "controls"
CAPTION = (
    "Transfer (SnT) and its controls by depth n, one panel a target size. Level lines: base; base+, which trains "
    "for twice the iterations; and FTall beside it."
)
COLUMNS = ("size", "condition", "accuracy", "low", "high", "sd", "n")
_MIDDLE_DEPTH = 4  # its colour is that of the family's line
_ACROSS = 3  # panels side by side, at most
_LEVELS = {"base": (0, (1, 2)), "base+": (0, (6, 2, 1, 2)), "FTall": (0, (6, 2))}  # condition without depth -> its dash
_DODGE = 0.07  # distance between two families, where that between depths is 1


def draw(exp: Experiment, rows: list[Row], summary: list[Row], folder: Path) -> None:
    """Writes controls.png, .pdf and .csv from the rows of runs.csv and summary.csv. Raises NoData without controls."""
    with_runs = [row for row in summary if row["n"]]
    families = sorted({family for row in with_runs if (family := _family(row))}, key=list(style.FAMILIES).index)
    of_controls = [row for row in with_runs if _is_control(row)]
    if not of_controls:
        has_controls = any(_is_control(row) for row in summary)
        raise NoData(f"no control condition has {'a run with the status ok' if has_controls else 'been run'}")
    sizes = sorted({row["size"] for row in of_controls}, key=size_order)
    has_budget = any(row["condition"] == "base+" for row in of_controls)
    levels = list(_LEVELS) if has_budget else ["base"]
    shown = [row for row in with_runs if row["size"] in sizes and (_family(row) or row["condition"] in levels)]
    down = math.ceil(len(sizes) / _ACROSS)
    across = math.ceil(len(sizes) / down)
    figure = style.new_figure(0.9 + 2.5 * down)
    panels = figure.subplots(down, across, sharex=True, sharey=True, squeeze=False).ravel()
    for axes, size in zip(panels, sizes, strict=False):
        _panel(axes, [row for row in shown if row["size"] == size], families)
        axes.set_title(style.size_label(size), fontsize=9, fontweight="normal")
    for axes in panels[len(sizes) :]:
        axes.set_visible(False)
    for axes in panels[::across]:
        axes.set_ylabel("top-1 accuracy")
    for axes in panels[len(sizes) - across : len(sizes)]:  # the lowest one of each column
        axes.set_xlabel("n")
        axes.tick_params(labelbottom=True)
    handles, labels = panels[0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside right center")
    style.set_figure_title(
        figure, f"{style.dataset_title(exp)}: transfer and its controls", means.facts(exp, rows, shown)
    )
    layout = figure.get_layout_engine()
    assert isinstance(layout, ConstrainedLayoutEngine)
    layout.set(rect=(0, 0, 1, 1 - style.TITLE_HEIGHT / figure.get_figheight()))
    in_order = sorted(shown, key=lambda row: (size_order(row["size"]), condition_order(row["condition"])))
    style.save_table(folder / NAME, COLUMNS, in_order)
    style.save(figure, folder / NAME)


def _family(row: Row) -> str:
    return Condition.of_run(row["condition"]).family


def _is_control(row: Row) -> bool:
    return _family(row) not in ("", "S") or row["condition"] == "base+"


def _panel(axes: Axes, rows: list[Row], families: list[str]) -> None:
    """The lines of one target size. Each point has its condition's own colour, the line the family's middle one."""
    for row in rows:
        if row["condition"] in _LEVELS:
            color = style.condition_look("FTall")["color"] if row["condition"] == "FTall" else style.GREY
            dash = _LEVELS[row["condition"]]
            axes.axhline(row["accuracy"], label=row["condition"], color=color, linewidth=1, linestyle=dash)
    for rank, family in enumerate(families):
        conditions = [(Condition.of_run(row["condition"]), row) for row in rows]
        line = [(condition.depth or 0, row) for condition, row in conditions if condition.family == family]
        line.sort(key=lambda pair: pair[0])
        middle = style.family_look(family, _MIDDLE_DEPTH)
        label = f"{family[0]}nT{family[1:]}"
        places = [depth + (rank - (len(families) - 1) / 2) * _DODGE for depth, _ in line]
        axes.plot(places, [row["accuracy"] for _, row in line], label=label, zorder=2, **style.with_white_edges(middle))
        for place, (_, row) in zip(places, line, strict=True):
            look = style.condition_look(row["condition"])
            point = look | {"marker": middle["marker"]}
            axes.plot(place, row["accuracy"], zorder=3, **style.with_white_edges(point))
            means.draw_bars(axes, [place], [row], look["color"])
    axes.xaxis.set_major_locator(MultipleLocator(1))
