"""The gain of a condition over base, as a heat map: sizes down, conditions across, points of accuracy in each cell."""

import statistics
from pathlib import Path

import numpy as np

from tools.figures import NoData, style
from tools.protocol.conditions import Condition
from tools.protocol.experiment import Experiment
from tools.protocol.layout import Size
from tools.results.columns import Row, condition_order, size_order

NAME = "gain"
CAPTION = (
    "Gain over base in points of accuracy, by target size and condition: the mean difference of the two runs of a "
    "direction and seed."
)
COLUMNS = ("size", "condition", "gain", "n")
INK, COLORS = "0.1", "BrBG"
# The colour map reaches this much beyond the largest gain, because the text cannot be read on its dark ends.
MARGIN = 1.7
_LEAST = 0.01  # the scale has at least one point on each side, so that noise does not look like a result


def draw(exp: Experiment, rows: list[Row], folder: Path) -> None:
    """Writes gain.png, .pdf and .csv from the rows of runs.csv. Raises NoData if no run has a base run to compare."""
    cells = gains(rows)
    if not cells:
        raise NoData(_why_empty(rows))
    sizes = sorted({cell["size"] for cell in cells}, key=size_order)
    conditions = sorted({cell["condition"] for cell in cells}, key=condition_order)
    grid = np.full((len(sizes), len(conditions)), np.nan)
    for cell in cells:
        grid[sizes.index(cell["size"]), conditions.index(cell["condition"])] = cell["gain"]
    reach = max(np.nanmax(np.abs(grid)), _LEAST)
    figure = style.new_figure(1.35 + 0.36 * len(sizes))
    axes = figure.subplots()
    # Brown: a loss, blue-green: a gain. Any colour vision can distinguish them; in grey the sign in the cell does.
    axes.imshow(grid, cmap=COLORS, vmin=-MARGIN * reach, vmax=MARGIN * reach, aspect="auto")
    for (y, x), gain in np.ndenumerate(grid):
        text = "–" if np.isnan(gain) else f"{100 * gain:+.1f}".replace("-", "−")
        axes.text(x, y, text, ha="center", va="center", fontsize=8.5, color=INK)
    axes.set_xticks(range(len(conditions)), conditions)
    axes.set_yticks(range(len(sizes)), ["all" if size == "all" else f"{size:,}" for size in sizes])
    axes.tick_params(length=0)
    axes.spines[:].set_visible(False)
    axes.grid(visible=False)
    axes.set_ylabel("images a class")
    pairs = sorted({cell["n"] for cell in cells})
    count = f"{pairs[0]}" if len(pairs) == 1 else f"{pairs[0]} to {pairs[-1]}"
    facts = f"points of accuracy (1 = 0.01) above or below base; mean of {count} paired differences a cell"
    style.set_title(axes, f"{style.dataset_title(exp)}: gain over base", facts)
    style.save_table(folder / NAME, COLUMNS, cells)
    style.save(figure, folder / NAME)


def gains(rows: list[Row]) -> list[Row]:
    """Size, condition, gain (0..1) and n of every condition of the thesis except base, in the order of the figure.

    The gain is the mean difference of the accuracies of the condition and of base, over the directions and seeds whose
    two runs are ok.
    """
    ok = _compared(rows)
    accuracy = {(row["size"], row["condition"], row["direction"], row["seed"]): row["accuracy"] for row in ok}
    differences: dict[tuple[Size, str], list[float]] = {}
    for (size, condition, *pair), value in accuracy.items():
        base = accuracy.get((size, "base", *pair))
        if condition != "base" and base is not None:
            differences.setdefault((size, condition), []).append(value - base)
    in_order = sorted(differences.items(), key=lambda item: (size_order(item[0][0]), condition_order(item[0][1])))
    return [
        {"size": size, "condition": condition, "gain": round(statistics.fmean(values), 6), "n": len(values)}
        for (size, condition), values in in_order
    ]


def _compared(rows: list[Row]) -> list[Row]:
    return [row for row in rows if row["status"] == "ok" and Condition.of_run(row["condition"]).is_of_thesis]


def _why_empty(rows: list[Row]) -> str:
    has_base = {row["condition"] == "base" for row in _compared(rows)}
    if True not in has_base:
        return "no run of base has the status ok"
    if False not in has_base:
        return "no run of FTall or SnT has the status ok, and only these are compared with base here"
    return "no run of FTall or SnT has a base run of the same size, direction and seed"
