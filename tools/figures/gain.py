"""What a condition gains over base, as a heat map: sizes down, conditions across, points of accuracy in each cell."""

import statistics
from pathlib import Path

import numpy as np

from tools.common.files import write_atomic
from tools.figures import NoData, is_of_the_thesis, style
from tools.protocol.experiment import Experiment
from tools.results.columns import Row, condition_order, csv_text, size_order

NAME = "gain"
CAPTION = (
    "Gain over base in points of accuracy, by target size and condition: the mean difference of the two runs of a "
    "direction and seed."
)
COLUMNS = ("size", "condition", "gain", "n")
INK, COLORS = "0.1", "BrBG"
# how far the map reaches beyond the largest gain: on its dark ends, which are left out, ink cannot be read
MARGIN = 1.7
_LEAST = 0.01  # the scale reaches at least one point to each side: noise alone shall not look like a result


def draw(exp: Experiment, rows: list[Row], folder: Path) -> None:
    """Writes gain.png, .pdf and .csv from the rows of runs.csv. Raises NoData where no run has a base to compare."""
    cells = gains(rows)
    if not cells:
        raise NoData("no condition has a base run of the same size, direction and seed")
    sizes = sorted({cell["size"] for cell in cells}, key=size_order)
    conditions = sorted({cell["condition"] for cell in cells}, key=condition_order)
    grid = np.full((len(sizes), len(conditions)), np.nan)
    for cell in cells:
        grid[sizes.index(cell["size"]), conditions.index(cell["condition"])] = cell["gain"]
    reach = max(np.nanmax(np.abs(grid)), _LEAST)
    figure = style.new_figure(1.35 + 0.36 * len(sizes))
    axes = figure.subplots()
    # Brown loses, blue-green gains: told apart by every colour vision; in grey the sign in the cell tells.
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
    style.head(axes, f"{style.dataset_title(exp)}: gain over base", facts)
    write_atomic(folder / f"{NAME}.csv", csv_text(COLUMNS, cells))
    style.save(figure, folder / NAME)


def gains(rows: list[Row]) -> list[Row]:
    """Size, condition, gain (0..1) and n of every condition of the thesis but base, in the order of the figure.

    The gain is the mean, over directions and seeds whose two runs are ok, of accuracy minus that of base.
    """
    ok = [row for row in rows if row["status"] == "ok" and is_of_the_thesis(row["condition"])]
    accuracy = {(row["size"], row["condition"], row["direction"], row["seed"]): row["accuracy"] for row in ok}
    found: dict[tuple, list[float]] = {}
    for (size, condition, *pair), value in accuracy.items():
        base = accuracy.get((size, "base", *pair))
        if condition != "base" and base is not None:
            found.setdefault((size, condition), []).append(value - base)
    order = sorted(found, key=lambda key: (size_order(key[0]), condition_order(key[1])))
    return [
        {"size": size, "condition": condition, "gain": round(statistics.fmean(values), 6), "n": len(values)}
        for size, condition in order
        if (values := found[size, condition])
    ]
