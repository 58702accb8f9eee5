"""What all figures share: fonts, the look of a target size or a half, titles, and how a figure becomes files."""

import io
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import matplotlib
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from tools.datasets.cards import card
from tools.experiment import Experiment
from tools.files import write_atomic

WIDTH = 7.0  # inches: the text width of a page
GREY = "0.35"
HALVES = {"A": "#0072b2", "B": "#e69f00"}  # Okabe and Ito's blue and orange: dark and light in grey
_MARKERS = "osD^vX<>p*"
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
    shade = 0.82 * rank / max(count - 1, 1)  # viridis' end is too light for white paper
    return {
        "color": matplotlib.colormaps["viridis"](shade),
        "marker": _MARKERS[rank % len(_MARKERS)],
        "linestyle": _DASHES[rank % len(_DASHES)],
    }


def head(axes: Axes, title: str, below: str) -> None:
    """A title, flush left, and a line of facts under it."""
    axes.set_title(title, pad=19)
    axes.annotate(below, (0, 1), (0, 5), "axes fraction", "offset points", fontsize=8, color=GREY)


def dataset_title(exp: Experiment) -> str:
    """Fashion-MNIST; the folder's name for a `folder` data set."""
    if exp.dataset == "folder":
        return Path(exp.path or "images").resolve().name
    return card(exp.dataset).title
