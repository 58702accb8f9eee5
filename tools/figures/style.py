"""Common parts of all figures: fonts, the looks of sizes, halves and conditions, titles, and how figures are written.

A condition has the same colour, marker and dash in every figure: only `condition_look` knows them.
"""

import io
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import matplotlib
import matplotlib.backends.backend_pdf  # takes a seventh of a second; here, before processes that draw are forked
from matplotlib.axes import Axes
from matplotlib.colors import to_hex
from matplotlib.figure import Figure
from matplotlib.text import Text
from matplotlib.transforms import BboxBase
from matplotlib.typing import RcKeyType

from tools.common.files import write_atomic
from tools.figures import fonts
from tools.protocol.conditions import Condition
from tools.protocol.experiment import Experiment
from tools.protocol.layout import Half, Size
from tools.protocol.register import card
from tools.results.columns import Row, csv_text

Look = dict[str, Any]  # color, marker, linestyle, as matplotlib's plot() takes them

WIDTH = 7.0  # inches: the text width of a page
TITLE_HEIGHT = 0.5  # inches: a title, and a line of facts below it
_BESIDE_LABELS = 72 * (WIDTH - 0.75)  # points: what the labels of a y axis leave to the text above it
_GAP = 1  # pixels of the screen between two texts
GREY = "0.35"
HALF_COLORS: dict[Half, str] = {"A": "#0072b2", "B": "#e69f00"}  # Okabe and Ito: blue, dark in grey; orange, light
_SINGLE: dict[str, Look] = {
    "base": {"color": "#000000", "marker": "o", "linestyle": "-"},
    "FTall": {"color": "#d55e00", "marker": "s", "linestyle": (0, (6, 1.5))},
}
# Family -> colour map, its darkest and lightest shade, markers by depth, dash; in the order of legends. A deeper one is
# lighter, also in grey.
FAMILIES: dict[str, tuple[str, float, float, str, Any]] = {
    "S": ("plasma", 0.0, 0.72, "D^v<>pX", "-"),
    "T": ("Greens_r", 0.05, 0.5, "^", "-"),
    "S+": ("Blues_r", 0.1, 0.5, "P", (0, (6, 1.5))),
    "T+": ("YlOrBr_r", 0.05, 0.5, "v", (0, (4, 1.5, 1, 1.5))),
    "R": ("Greys_r", 0.25, 0.6, "X", (0, (1.5, 1))),
}
_MAX_NAME = 30  # characters of a name
_DEEPEST = 7  # of AlexNet; greater depths of other nets get the same shade
MARKERS = "osD^vX<>p*"
_DASHES = ("-", (0, (6, 1.5)), (0, (4, 1.5, 1, 1.5)), (0, (1.5, 1)))
_RC: dict[RcKeyType, Any] = {
    "font.size": 9,
    "axes.labelsize": 9,
    "axes.titlesize": 10,
    "axes.titleweight": "bold",
    "axes.titlelocation": "left",
    "axes.linewidth": 0.8,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "axes.axisbelow": True,
    "grid.color": "0.9",
    "grid.linewidth": 0.6,
    "legend.frameon": False,
    "legend.fontsize": 8.5,
    "legend.title_fontsize": 8.5,
    "legend.handlelength": 3.2,
    "lines.linewidth": 1.3,
    "lines.markersize": 5,
    "figure.dpi": 100,
    "savefig.dpi": 220,
    "figure.constrained_layout.h_pad": 0.06,
    "figure.constrained_layout.w_pad": 0.06,
    "pdf.fonttype": 42,  # TrueType: text stays editable in Illustrator and Inkscape
    "text.parse_math": False,  # a class or data set may be called `$`
}


@contextmanager
def house_style() -> Iterator[None]:
    """A context in which figures use matplotlib's defaults with our changes, and not the user's matplotlibrc."""
    with matplotlib.rc_context():
        matplotlib.rcdefaults()
        matplotlib.rcParams.update(_RC)
        yield


def new_figure(height: float, **margins: float) -> Figure:
    """A figure of the page's width and `height` inches. It makes room for its labels, or has the given `margins`."""
    figure = Figure(figsize=(WIDTH, height), layout=None if margins else "constrained")
    if margins:
        figure.subplots_adjust(**margins)
    return figure


def save_table(path: Path, columns: Iterable[str], rows: Iterable[Row]) -> None:
    """Writes `path` + .csv with these columns of the rows."""
    columns = list(columns)
    text = csv_text(columns, [{name: row.get(name) for name in columns} for row in rows])
    write_atomic(path.with_name(f"{path.name}.csv"), text)


def save(figure: Figure, path: Path) -> None:
    """Writes `path` + .png and .pdf, each by rename. The same figure gives the same bytes.

    Prints a line about characters that no font of this machine has.
    """
    if missing := fonts.use_fonts_for(figure):
        print(f"{path}: drawn with boxes in its names: {fonts.advice(missing)}")
    for kind, metadata in (("png", {"Software": None}), ("pdf", {"CreationDate": None})):
        data = io.BytesIO()
        with fonts.quiet():  # the line above says it once
            figure.savefig(data, format=kind, metadata=metadata)
        write_atomic(path.with_name(f"{path.name}.{kind}"), data.getvalue())


def keep_readable(figure: Figure, texts: list[Text]) -> None:
    """Moves texts with a box into their axes, so that no edge of the figure cuts them off, and up or down until none
    covers another: each as little as it takes, and not at all where there is no room."""
    fonts.use_fonts_for(figure)
    with fonts.quiet():
        figure.draw_without_rendering()
    placed: list[tuple[object, BboxBase]] = []  # axes, box
    for text in texts:
        patch, axes = text.get_bbox_patch(), text.axes
        assert patch is not None and axes is not None
        inner, outer = patch.get_window_extent(), axes.get_window_extent()
        right = max(outer.x0 - inner.x0, 0) + min(outer.x1 - inner.x1, 0)
        up = max(outer.y0 - inner.y0, 0) + min(outer.y1 - inner.y1, 0)
        box = inner.translated(right, up)
        box = box.translated(0, _way_to_room(box, [other for place, other in placed if place is axes], outer))
        placed.append((axes, box))
        if (box.x0, box.y0) != (inner.x0, inner.y0):
            x, y = axes.transData.transform(text.get_position())
            moved = x + box.x0 - inner.x0, y + box.y0 - inner.y0
            text.set_position(tuple(axes.transData.inverted().transform(moved)))


def _way_to_room(box: BboxBase, others: list[BboxBase], outer: BboxBase) -> float:
    """How far `box` has to go up (down: less than 0), within `outer`, to cover none of the others."""
    near = [other for other in others if other.x0 < box.x1 and box.x0 < other.x1]
    ways = [way for other in near for way in (other.y1 - box.y0 + _GAP, other.y0 - box.y1 - _GAP)]
    inside = [way for way in ways if outer.y0 <= box.y0 + way and box.y1 + way <= outer.y1]
    free = [way for way in (0.0, *inside) if all(box.y0 + way > other.y1 or box.y1 + way < other.y0 for other in near)]
    return min(free, key=abs, default=0.0)


def size_look(rank: int, count: int) -> Look:
    """The look of target size number `rank` (0 is the largest) of `count`."""
    return {
        "color": _viridis(0.0, 0.62, rank, count),  # beyond that it is too light on white paper
        "marker": MARKERS[rank % len(MARKERS)],
        "linestyle": _DASHES[rank % len(_DASHES)],
    }


def condition_look(name: str) -> Look:
    """The look of a condition: of base, FTall, SnT, or a control (SnT+, TnT, TnT+, RnT); grey for all others."""
    if name in _SINGLE:
        return _SINGLE[name]
    condition = Condition.of_run(name)
    if not condition.family or not condition.depth:
        return {"color": GREY, "marker": "*", "linestyle": (0, (2, 2))}
    return family_look(condition.family, condition.depth)


def family_look(family: str, depth: int) -> Look:
    """The look of S3T+, for example, which is ("S+", 3): lighter with the depth."""
    shades, dark, light, markers, dash = FAMILIES[family]
    rank = min(depth, _DEEPEST) - 1
    color = matplotlib.colormaps[shades](dark + (light - dark) * rank / (_DEEPEST - 1))
    return {"color": color, "marker": markers[rank % len(markers)], "linestyle": dash}


def with_white_edges(look: Look) -> Look:
    """The look with white edges around its markers, so that they stand out from the lines below them."""
    return look | {"markeredgecolor": "white", "markeredgewidth": 0.5}


def page_size_colors(count: int) -> dict[str, list[str]]:
    """The colours of the sizes on the HTML page, `#rrggbb`, by rank: each has a contrast of 3 to its background."""
    return {
        "light": [to_hex(_viridis(0.0, 0.55, rank, count)) for rank in range(count)],
        "dark": [to_hex(_viridis(1.0, 0.45, rank, count)) for rank in range(count)],
    }


def _viridis(first: float, last: float, rank: int, count: int) -> tuple[float, float, float, float]:
    return matplotlib.colormaps["viridis"](first + (last - first) * rank / max(count - 1, 1))


def set_title(axes: Axes, title: str, facts: str) -> None:
    """Writes a title, flush left, and a line of facts below it. Long ones are smaller, so that no edge cuts them."""
    axes.set_title(title, pad=19, fontsize=fonts.fitting_size(title, 10, _BESIDE_LABELS, "bold"))
    size = fonts.fitting_size(facts, 8, _BESIDE_LABELS)
    axes.annotate(facts, (0, 1), (0, 5), "axes fraction", "offset points", fontsize=size, color=GREY)


def size_label(size: Size) -> str:
    """60 images a class, or all images."""
    return "all images" if size == "all" else f"{size:,} image{'s' * (size != 1)} a class"


def short_size_label(size: Size) -> str:
    """60 a class, or all images."""
    return "all images" if size == "all" else f"{size:,} a class"


def set_figure_title(figure: Figure, title: str, facts: str) -> None:
    """Writes a title and facts above all panels of a figure, which leave its uppermost TITLE_HEIGHT inches free."""
    height = figure.get_figheight()
    width = 72 * 0.98 * WIDTH
    size = fonts.fitting_size(title, 10, width, "bold")
    figure.text(0.01, 1 - 0.08 / height, title, va="top", fontsize=size, fontweight="bold")
    figure.text(0.01, 1 - 0.27 / height, facts, va="top", fontsize=fonts.fitting_size(facts, 8, width), color=GREY)


def dataset_title(exp: Experiment) -> str:
    """The title of the data set, `Fashion-MNIST`; for the user's own folder the folder's name, shortened."""
    about = card(exp.dataset)
    return about.title if about.is_published else shorten(Path(exp.path or "images").resolve().name)


def shorten(name: str) -> str:
    """The name of a class or folder, as long as a figure has room for."""
    return name if len(name) <= _MAX_NAME else f"{name[: _MAX_NAME - 1].rstrip()}…"
