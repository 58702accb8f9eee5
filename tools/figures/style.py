"""What all figures share: fonts, the looks of sizes, halves and conditions, titles, how a figure becomes files.

A condition has one colour, marker and dash in every figure: `condition_look` is their only home.
"""

import io
import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import matplotlib
from matplotlib.axes import Axes
from matplotlib.colors import to_hex
from matplotlib.figure import Figure

from tools.common.files import write_atomic
from tools.protocol.experiment import Experiment
from tools.protocol.register import card

WIDTH = 7.0  # inches: the text width of a page
HEAD = 0.5  # inches: a title, and a line of facts under it
GREY = "0.35"
HALVES = {"A": "#0072b2", "B": "#e69f00"}  # Okabe and Ito's blue and orange: dark and light in grey
_SINGLE = {
    "base": {"color": "#000000", "marker": "o", "linestyle": "-"},
    "FTall": {"color": "#d55e00", "marker": "s", "linestyle": (0, (6, 1.5))},
}
# Family -> map, its darkest and lightest shade, markers by depth, dash. Dark to light with the depth: an order in grey.
_FAMILIES = {
    "S": ("plasma", 0.0, 0.72, "D^v<>pX", "-"),
    "S+": ("Blues_r", 0.1, 0.5, "P", (0, (6, 1.5))),
    "T": ("Greens_r", 0.05, 0.5, "^", "-"),
    "T+": ("YlOrBr_r", 0.05, 0.5, "v", (0, (4, 1.5, 1, 1.5))),
    "R": ("Greys_r", 0.25, 0.6, "X", (0, (1.5, 1))),
}
_DEEPEST = 7  # of AlexNet; deeper ones of another net share its shade
MARKERS = "osD^vX<>p*"
_DASHES = ("-", (0, (6, 1.5)), (0, (4, 1.5, 1, 1.5)), (0, (1.5, 1)))
_RC = {
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
    "pdf.fonttype": 42,  # TrueType, whole letters: editable in Illustrator and Inkscape
    "text.parse_math": False,  # a class or data set may be called `$`
}


@contextmanager
def house_style() -> Iterator[None]:
    """matplotlib's defaults and ours, whatever the user's matplotlibrc says, while figures are drawn and saved."""
    with matplotlib.rc_context():
        matplotlib.rcdefaults()
        matplotlib.rcParams.update(_RC)
        yield


def new_figure(height: float, **margins: float) -> Figure:
    """A figure of the page's width and `height` inches that makes room for its labels, or has `margins` instead."""
    figure = Figure(figsize=(WIDTH, height), layout=None if margins else "constrained")
    if margins:
        figure.subplots_adjust(**margins)
    return figure


def save(figure: Figure, path: Path) -> None:
    """Writes `path` + .png and .pdf, each by rename. The same figure gives the same bytes."""
    for kind, metadata in (("png", {"Software": None}), ("pdf", {"CreationDate": None})):
        data = io.BytesIO()
        figure.savefig(data, format=kind, metadata=metadata)
        write_atomic(path.with_name(f"{path.name}.{kind}"), data.getvalue())


def size_look(rank: int, count: int) -> dict[str, Any]:
    """The line of target size `rank` (0 is the largest) of `count`."""
    return {
        "color": _viridis(0.0, 0.62, rank, count),  # further on it is too light for white paper
        "marker": MARKERS[rank % len(MARKERS)],
        "linestyle": _DASHES[rank % len(_DASHES)],
    }


def condition_look(name: str) -> dict[str, Any]:
    """The line or points of a condition: base, FTall, SnT, a control (SnT+, TnT, TnT+, RnT); grey for any other."""
    if name in _SINGLE:
        return _SINGLE[name]
    family, depth = family_of(name)
    if family not in _FAMILIES:
        return {"color": GREY, "marker": "*", "linestyle": (0, (2, 2))}
    shades, dark, light, markers, dash = _FAMILIES[family]
    rank = min(depth, _DEEPEST) - 1
    color = matplotlib.colormaps[shades](dark + (light - dark) * rank / (_DEEPEST - 1))
    return {"color": color, "marker": markers[rank % len(markers)], "linestyle": dash}


def on_paper(look: dict[str, Any]) -> dict[str, Any]:
    """A look with what sets its markers off from what lies below them."""
    return look | {"markeredgecolor": "white", "markeredgewidth": 0.5}


def family_of(name: str) -> tuple[str, int]:
    """S3T+ -> (S+, 3): what is copied from where and whether it learns, and the depth. ("", 0) for other names."""
    match = re.fullmatch(r"([STR])([1-9]\d?)T(\+?)", name)
    return (match[1] + match[3], int(match[2])) if match else ("", 0)


def sizes_on_page(count: int) -> dict[str, list[str]]:
    """The colours of the lines on the page, `#rrggbb`, in order of rank: each with a contrast of 3 to its paper."""
    return {
        "light": [to_hex(_viridis(0.0, 0.55, rank, count)) for rank in range(count)],
        "dark": [to_hex(_viridis(1.0, 0.45, rank, count)) for rank in range(count)],
    }


def _viridis(first: float, last: float, rank: int, count: int) -> tuple[float, ...]:
    return matplotlib.colormaps["viridis"](first + (last - first) * rank / max(count - 1, 1))


def head(axes: Axes, title: str, below: str) -> None:
    """A title, flush left, and a line of facts under it."""
    axes.set_title(title, pad=19)
    axes.annotate(below, (0, 1), (0, 5), "axes fraction", "offset points", fontsize=8, color=GREY)


def size_words(size: int | str) -> str:
    """60 a class, or all images."""
    return "all images" if size == "all" else f"{size:,} a class"


def head_of_all(figure: Figure, title: str, below: str) -> None:
    """The same over a figure of several panels, which keep the uppermost HEAD inches free for it."""
    height = figure.get_figheight()
    figure.text(0.01, 1 - 0.08 / height, title, va="top", fontsize=10, fontweight="bold")
    figure.text(0.01, 1 - 0.27 / height, below, va="top", fontsize=8, color=GREY)


def dataset_title(exp: Experiment) -> str:
    """Fashion-MNIST; for a folder of one's own the folder's name."""
    about = card(exp.dataset)
    return about.title if about.is_published else Path(exp.path or "images").resolve().name
