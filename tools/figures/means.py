"""Common parts of the figures from summary.csv: the interval of a mean, and the line of facts below the title."""

from collections.abc import Iterable
from typing import Any

from matplotlib.axes import Axes

from tools.protocol.experiment import Experiment
from tools.results.columns import Row


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


def facts(exp: Experiment, rows: list[Row], shown: list[Row]) -> str:
    """The line below a title: network, iterations, what a point is and what its bar is.

    `rows`: of runs.csv. `shown`: the rows of summary.csv that are drawn.
    """
    cells = {(row["size"], row["condition"]) for row in shown}
    ok = [row for row in rows if row["status"] == "ok" and (row["size"], row["condition"]) in cells]
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
