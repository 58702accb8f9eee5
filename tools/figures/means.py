"""What the figures of summary.csv share: a mean's interval and its bar, the words for a size, the line of facts."""

from collections.abc import Iterable
from typing import Any

from matplotlib.axes import Axes

from tools.protocol.experiment import Experiment
from tools.results.columns import Row


def interval(row: Row) -> tuple[float, float] | None:
    """What the bar of a mean spans: its 95 % interval, else a standard deviation to each side; None for neither."""
    if row.get("low") is not None:
        return row["low"], row["high"]
    return None if row["sd"] is None else (row["accuracy"] - row["sd"], row["accuracy"] + row["sd"])


def bars(axes: Axes, places: list[float], rows: list[Row], color: Any) -> None:
    """The intervals of the means `rows`, drawn at `places`; standard deviations only where no row has an interval."""
    known = any(row.get("low") is not None for row in rows)
    for x, row in zip(places, rows, strict=True):
        if (span := interval(row)) and (row.get("low") is not None or not known):
            axes.vlines(x, *span, color=color, linewidth=0.8, alpha=0.8, zorder=1.5)


def size_label(size: int | str) -> str:
    return "all images" if size == "all" else f"{size:,} image{'s' * (size != 1)} a class"


def facts(exp: Experiment, rows: list[Row], shown: list[Row]) -> str:
    """The line below a title: network, iterations, what a point is, what its bar is."""
    cells = {(row["size"], row["condition"]) for row in shown}
    believed = [row for row in rows if row["status"] == "ok" and (row["size"], row["condition"]) in cells]
    seeds, directions = (len({row[key] for row in believed}) for key in ("seed", "direction"))
    count = _span(row["n"] for row in shown)
    mean = "one run" if count == "1" else f"mean of {count} runs"
    over = f"{directions} direction{'s' * (directions != 1)}, {seeds} seed{'s' * (seeds != 1)}"
    iterations = f"{exp.model}, {_span(row['iters'] for row in believed)} iterations"
    return f"{iterations}; {mean} a point ({over}){_bar(shown)}"


def _bar(shown: list[Row]) -> str:
    kinds = {row.get("interval") for row in shown if row.get("low") is not None}
    if kinds:
        of_one = ", images only" if kinds == {"images"} else "; of one seed: images only" if "images" in kinds else ""
        return f"; bar: 95 % interval{of_one}"
    return "; bar: ± sd" if any(row["sd"] is not None for row in shown) else ""


def _span(values: Iterable[int]) -> str:
    """300, or 200 to 300."""
    found = sorted(values)
    low, high = found[0], found[-1]
    return f"{low:,}" if low == high else f"{low:,} to {high:,}"
