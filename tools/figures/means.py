"""Common parts of the figures from summary.csv: the interval of a mean, and the line of facts below the title."""

from collections.abc import Iterable
from typing import Any

from matplotlib.axes import Axes

from tools.figures import style
from tools.protocol.experiment import Experiment
from tools.results.columns import Row
from tools.stats.intervals import without_source_nets
from tools.stats.learning_state import LEARNING, PAST_BEST

_RING = {"linestyle": "none", "markersize": 9, "markerfacecolor": "none", "markeredgewidth": 0.7}
_RINGS: dict[str, dict[str, Any]] = {LEARNING: _RING | {"marker": "o"}, PAST_BEST: _RING | {"marker": "s"}}
_MEANINGS = {LEARNING: "still learning at the end", PAST_BEST: "past its best at the end"}


def interval(row: Row) -> tuple[float, float] | None:
    """The ends of a mean's bar: its 95 % interval, else one standard deviation to each side; None if it has neither."""
    if row.get("low") is not None:
        return row["low"], row["high"]
    return None if row["sd"] is None else (row["accuracy"] - row["sd"], row["accuracy"] + row["sd"])


def draw_bars(axes: Axes, places: list[float], rows: list[Row], color: Any) -> None:
    """Draws the bars of the means `rows` at the x positions `places`.

    Standard deviations are drawn only if no row has an interval.
    """
    has_intervals = any(row.get("low") is not None for row in rows)
    for x, row in zip(places, rows, strict=True):
        if (ends := interval(row)) and (row.get("low") is not None or not has_intervals):
            axes.vlines(x, *ends, color=color, linewidth=0.8, alpha=0.8, zorder=1.5)


def draw_line(axes: Axes, places: list[float], rows: list[Row], name: str, look: style.Look) -> None:
    """Draws the means `rows` at the x positions `places` as a line.

    A ring around a point: its nets were still learning at the end; a square: they were past their best.
    """
    axes.plot(places, [row["accuracy"] for row in rows], label=name, **style.with_white_edges(look))
    for state, ring in _RINGS.items():
        at = [(x, row["accuracy"]) for x, row in zip(places, rows, strict=True) if row.get("at_end") == state]
        if at:
            axes.plot(*zip(*at, strict=True), color=look["color"], **ring)


def explain_rings(axes: Axes, rows: list[Row]) -> None:
    """Adds the rings that `rows` have to the legend, which is drawn afterwards."""
    for state, ring in _RINGS.items():
        if state in {row.get("at_end") for row in rows}:
            axes.plot([], [], color=style.GREY, label=_MEANINGS[state], **ring)


def facts(exp: Experiment, rows: list[Row], shown: list[Row]) -> str:
    """The line below a title: network, iterations, what a point is and what its bar is.

    `rows`: of runs.csv. `shown`: the rows of summary.csv that are drawn.
    """
    cells = {(row["size"], row["condition"]) for row in shown}
    ok = [
        row for row in without_source_nets(rows) if row["status"] == "ok" and (row["size"], row["condition"]) in cells
    ]
    seeds, directions = (len({row[key] for row in ok}) for key in ("seed", "direction"))
    count = _range(row["n"] for row in shown)
    mean = "one run" if count == "1" else f"mean of {count} runs"
    over = f"{directions} direction{'s' * (directions != 1)}, {seeds} seed{'s' * (seeds != 1)}"
    iterations = f"{exp.model}, {_range(row['iters'] for row in ok)} iterations"
    return f"{iterations}; {mean} a point ({over}){_bar(shown)}"


def _bar(shown: list[Row]) -> str:
    kinds = {row.get("interval") for row in shown if row.get("low") is not None}
    if kinds:
        of_one = ", images only" if kinds == {"images"} else "; of one seed: images only" if "images" in kinds else ""
        return f"; bar: 95 % interval{of_one}"
    return "; bar: ± sd" if any(row["sd"] is not None for row in shown) else ""


def _range(values: Iterable[int]) -> str:
    """300, or 200 to 300."""
    in_order = sorted(values)
    low, high = in_order[0], in_order[-1]
    return f"{low:,}" if low == high else f"{low:,} to {high:,}"
