"""The filters of the first convolution side by side: of the source net, of a fine-tuned net, of one from scratch.

With one seed the source net and the net from scratch started with the same random numbers. So a similarity of these two
does not show transfer.
"""

import math
from pathlib import Path

import numpy as np

from caffeformat import FormatError
from caffeformat.blobs import read_caffemodel
from tools.common.files import read_json
from tools.figures import NoData, curves, style
from tools.figures.tiles import tiled
from tools.protocol.experiment import Experiment
from tools.protocol.runs import is_source_net
from tools.results.columns import Row, size_order
from tools.training.inputs import is_own_net

NAME = "filters"
CAPTION = (
    "Filters of the first convolution: of the source net, of the net fine-tuned from it on the smallest target set, "
    "and of one trained on that set from scratch, which began as the same random numbers as the source net. Each "
    "filter has its own scale; grey is zero."
)
COLUMNS = ("run", "filter", "norm", "distance", "source_norm")
_GAP = 1  # pixels between two filters


def draw(exp: Experiment, rows: list[Row], folder: Path) -> None:
    """Writes filters.png, .pdf and .csv: of each filter its norm, and its distance to the source net's same filter.

    A net that has diverged is left out, and the line of facts says so. Raises NoData if there are no nets, or if the
    source net has diverged.
    """
    nets = [(title, row, _first_filters(row)) for title, row in _nets(exp, rows).items()]
    shown = [net for net in nets if np.isfinite(net[2]).all()]
    if not shown or shown[0] is not nets[0]:
        raise NoData(f"{nets[0][1]['run']} has diverged: its weights are not all finite numbers")
    source = shown[0][2]
    across = {96: 8, 64: 8}.get(len(source), max(1, round(len(source) ** 0.5)))
    down = math.ceil(len(source) / across)
    top = style.TITLE_HEIGHT + 0.22  # inches
    height = top + 2.15 * down / across
    figure = style.new_figure(height, left=0.01, right=0.99, bottom=0.02, top=1 - top / height, wspace=0.08)
    panels = np.atleast_1d(figure.subplots(1, len(shown)))
    for axes, (title, _, filters) in zip(panels, shown, strict=True):
        axes.imshow(sheet(filters, across), interpolation="none")
        axes.set(xticks=[], yticks=[])
        axes.grid(visible=False)
        axes.spines[:].set_visible(False)
        axes.annotate(title, (0, 1), (0, 5), "axes fraction", "offset points", fontsize=8.5)
    facts = f"{' x '.join(map(str, source.shape))} weights; seed {shown[0][1]['seed']}, direction A2B"
    facts += "".join(f"; {title}: {row['status']}" for title, row, _ in nets if row["status"] != "ok")
    style.set_figure_title(figure, f"{style.dataset_title(exp)}: filters of the first convolution", facts)
    style.save_table(
        folder / NAME, COLUMNS, [line for _, row, filters in shown for line in _lines(row, filters, source)]
    )
    style.save(figure, folder / NAME)


def _nets(exp: Experiment, rows: list[Row]) -> dict[str, Row]:
    """Title -> row of runs.csv: the source net of half A, and nets of half B, fine-tuned from it and from scratch.

    They are of the first seed whose source net is there.
    """
    of_half_a = [row for row in rows if row["direction"] == "B2A"]
    with_net = [row for row in of_half_a if is_source_net(exp, row["size"], row["condition"]) and _has_net(row)]
    source = curves.source_nets(exp, with_net) or curves.source_nets(exp, of_half_a)
    if not source:
        raise NoData("the source net of half A has not been trained, or its training failed")
    seed = source[0]["seed"]
    nets = {f"source net, half A, {style.short_size_label(source[0]['size'])}": source[0]}
    others = [row for row in rows if row["direction"] == "A2B" and row["seed"] == seed and row["status"] != "failed"]
    for condition, what in (("FTall", "fine-tuned on B"), ("base", "from scratch on B")):
        of_condition = [row for row in others if row["condition"] == condition]
        if of_condition:
            smallest = max(of_condition, key=lambda row: size_order(row["size"]))
            nets[f"{what}, {style.short_size_label(smallest['size'])}"] = smallest
    return nets


def _has_net(row: Row) -> bool:
    manifest = read_json(Path(row["run"]) / "manifest.json")
    return manifest is not None and (Path(row["run"]) / manifest["model"]["file"]).is_file()


def _first_filters(row: Row) -> np.ndarray:
    """The weights of the first convolution: float32, K x C x h x w. Raises NoData."""
    manifest = read_json(Path(row["run"]) / "manifest.json")
    if manifest is None:
        raise NoData(f"{row['run']}/manifest.json is not there")
    net = Path(row["run"]) / manifest["model"]["file"]
    if net.is_file() and not is_own_net(net, manifest):
        raise NoData(f"{net} is not the net that its manifest.json names")
    try:
        blobs = read_caffemodel(net).values()
    except FormatError as error:
        raise NoData(str(error)) from None
    convolutions = [layer[0] for layer in blobs if layer[0].ndim == 4 and max(layer[0].shape[2:]) > 1]
    if not convolutions:
        raise NoData(f"{row['run']}: the net has no convolution of more than a pixel")
    return convolutions[0]


def sheet(filters: np.ndarray, across: int) -> np.ndarray:
    """Filters, K x C x h x w (gray or BGR), as one picture, uint8, HxWx3, RGB. Each filter has its own scale."""
    count, channels, height, width = filters.shape
    if channels != 3:
        filters = np.repeat(filters.mean(axis=1, keepdims=True), 3, axis=1)
    largest = np.abs(filters).max(axis=(1, 2, 3), keepdims=True)
    scaled = np.divide(filters, largest, out=np.zeros_like(filters), where=largest > 0)
    pixels = np.rint(127.5 + 127.5 * scaled[:, ::-1]).astype(np.uint8)
    return tiled(pixels.transpose(0, 2, 3, 1), math.ceil(count / across), across, height, width, _GAP)


def _lines(row: Row, filters: np.ndarray, source: np.ndarray) -> list[Row]:
    return [
        {
            "run": row["run"],
            "filter": i,
            "norm": round(float(np.linalg.norm(ours)), 6),
            "distance": round(float(np.linalg.norm(ours - theirs)), 6),
            "source_norm": round(float(np.linalg.norm(theirs)), 6),
        }
        for i, (ours, theirs) in enumerate(zip(filters, source, strict=True))
    ]
