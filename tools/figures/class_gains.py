"""Which classes gain and lose most from transfer: FTall against base at the smallest size, a line for each class."""

from pathlib import Path

from tools.figures import NoData, style
from tools.figures.samples import class_names
from tools.protocol.experiment import Experiment, Size
from tools.results.columns import CLASS_COLUMNS, Row, condition_order, size_order
from tools.stats.class_accuracy import gains

NAME = "class_gains"
CAPTION = (
    "Accuracy of a class with transfer, less that from scratch: the classes that gain and lose most. The intervals of "
    "all classes hold together with 95 %."
)
MOST = 12  # classes at each end; all of them if there are at most twice as many


def draw(exp: Experiment, classes: list[Row], folder: Path) -> None:
    """Writes class_gains.png, .pdf and .csv from the rows of classes.csv. Raises NoData."""
    size, condition = _shown(classes)
    rows = gains(classes, size, condition)
    shown = rows if len(rows) <= 2 * MOST else [*rows[:MOST], *rows[-MOST:]]
    names = class_names(exp)
    figure = style.new_figure(1.1 + 0.2 * len(shown))
    axes = figure.subplots()
    for place, row in enumerate(shown):
        y = place + (1 if len(shown) < len(rows) and place >= MOST else 0)  # a gap where classes are left out
        is_clear = row["low"] > 0 or row["high"] < 0
        color = style.condition_look(condition)["color"] if is_clear else style.GREY
        axes.hlines(y, 100 * row["low"], 100 * row["high"], color=color, linewidth=1)
        axes.plot(100 * row["gain"], y, marker="o", color=color, markersize=4)
        name = str(names.get(str(row["class"]), row["class"]))
        axes.annotate(
            style.shorten(name),
            (0, y),
            (-4, 0),
            ("axes fraction", "data"),
            "offset points",
            ha="right",
            va="center",
            fontsize=8,
        )
    axes.axvline(0, color=style.GREY, linewidth=0.8)
    axes.set_yticks([])
    axes.set_ylim(len(shown) + (0.5 if len(shown) < len(rows) else -0.5), -0.5)
    axes.grid(axis="y", visible=False)
    axes.set_xlabel(f"points of accuracy: {condition} - base")
    clear = sum(row["low"] > 0 or row["high"] < 0 for row in rows)
    left_out = f", {len(rows) - len(shown)} in the middle left out" if len(shown) < len(rows) else ""
    unit = "; images of one seed only" if {row["interval"] for row in rows} == {"images"} else ""
    facts = f"{len(rows)} classes{left_out}; {clear} clear of 0 (95 % for all together{unit})"
    style.set_title(axes, f"{style.dataset_title(exp)}: classes that gain and lose, {style.size_label(size)}", facts)
    style.save_table(folder / NAME, CLASS_COLUMNS, rows)
    style.save(figure, folder / NAME)


def _shown(classes: list[Row]) -> tuple[Size, str]:
    """The smallest size at which a copying condition has gains, and FTall or else the first of them there."""
    cells = {(row["size"], row["condition"]) for row in classes if row["gain"] is not None}
    if not cells:
        raise NoData("no class was scored by base and by a condition that copies, with predictions and class ids")
    size = max((size for size, _ in cells), key=size_order)
    conditions = sorted((condition for of, condition in cells if of == size), key=condition_order)
    return size, "FTall" if "FTall" in conditions else conditions[0]
