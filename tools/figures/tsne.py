"""Figure 5.2 of the thesis: t-SNE of both halves' validation images, from their pixels and from a layer's features.

The features are those of the source net of half A. It was trained on half A and has never seen half B.
"""

from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.text import Text
from threadpoolctl import threadpool_limits

from caffeformat import FormatError, datum, lmdb_file, prototxt
from caffeformat.caffeformat_pb2 import SolverParameter
from tools.common.errors import UserError
from tools.common.files import read_json
from tools.common.lmdb_removal import require
from tools.common.workers import parallel_map
from tools.figures import NoData, style
from tools.figures.samples import class_names
from tools.nets.templates import NET, SOLVER
from tools.protocol.experiment import Experiment
from tools.protocol.layout import HALVES, Half, Run, Split, experiment_name, split_of
from tools.protocol.runs import source_net
from tools.protocol.weighted_layers import weighted_blocks
from tools.training.engine import Engine, engine_of
from tools.training.features import layer_features
from tools.training.inputs import is_own_net

NAME = "tsne"
CAPTION = (
    "Validation images of both halves by t-SNE (figure 5.2 of the thesis): left of their pixels, right of the features "
    "of the source net of half A. In such a picture neighbours have a meaning; distances between groups have little."
)
COLUMNS = ("half", "label", "pixels_x", "pixels_y", "features_x", "features_y")
IMAGES = 500  # of each half: the first of its LMDB, which is shuffled
_HEIGHT = 3.9  # inches
_COMPONENTS = 50  # principal components, before t-SNE, as its authors advise; fewer if there are fewer images or values
_PERPLEXITY = 30.0  # less if there are fewer than 91 images
_SPREAD = (1e-12, 1e12)  # of values; the squares of others leave the range of float32
_MAX_NAMED = 12  # classes; the names of more do not fit into the picture


def draw(exp: Experiment, engine: str, folder: Path, layer: str | None = None) -> Path:
    """Writes tsne.png, .pdf and .csv of the last hidden layer, or tsne-`layer`.*; returns the PNG. Raises NoData.

    The net is that of the first seed whose net is there.
    """
    runs = [source_net(exp, experiment_name(exp, engine), "A", seed) for seed in exp.seeds]
    run = next((run for run in runs if _net(run)), runs[0])
    split = split_of(exp, run.seed)
    weights, status = _weights(run)
    try:
        net, solver = run.folder / NET, prototxt.read_solver(run.folder / SOLVER)
        name = layer or weighted_blocks(prototxt.read_net(net), net, solver)[-2].main.name
        pixels, labels, features = _both_halves(engine_of(exp), split, run, solver, weights, name)
    except (UserError, FormatError) as error:
        raise NoData(str(error)) from None
    flag = f" ({status})" if status != "ok" else ""
    embedded = _both_embedded(pixels, features, f"the values of {name} in {run.folder}{flag}")
    places = dict(zip(("pixels", "features"), (found.places for found in embedded), strict=True))
    halves = np.repeat(HALVES, [len(of_half) for of_half in labels])
    top = 1 - (style.TITLE_HEIGHT + 0.2) / _HEIGHT
    figure = style.new_figure(_HEIGHT, left=0.01, right=0.99, top=top, bottom=0.065, wspace=0.04)
    left, right = figure.subplots(1, 2)
    titles = (f"pixels, {pixels.shape[1]:,} values an image", f"{name}, {features.shape[1]:,} values an image")
    for axes, place, title in zip((left, right), places.values(), titles, strict=True):
        _scatter(axes, place, halves, title)
    names = _names(exp, split)
    if sum(map(len, names.values())) <= _MAX_NAMED:
        texts: list[Text] = []
        for axes, place in zip((left, right), places.values(), strict=True):
            texts += _name_classes(axes, place, halves, np.concatenate(labels), names)
        style.keep_readable(figure, texts)
    figure.legend(*left.get_legend_handles_labels(), loc="lower center", ncols=2, markerscale=1.6)
    facts = f"{len(halves):,} images; {_method(embedded)}; net: {run.key}{flag}"
    style.set_figure_title(figure, f"{style.dataset_title(exp)}: the validation halves", facts)
    path = folder / (NAME if layer is None else f"{NAME}-{layer.replace('/', '-')}")
    table = np.column_stack([*places.values()]).round(3)
    rows = zip(halves, np.concatenate(labels), *table.T, strict=True)
    style.save_table(path, COLUMNS, [dict(zip(COLUMNS, row, strict=True)) for row in rows])
    style.save(figure, path)
    return path.with_name(f"{path.name}.png")


@dataclass(frozen=True)
class Embedded:
    """Rows in two dimensions, and the settings that their number and length allowed."""

    places: np.ndarray  # float32, N x 2
    components: int
    perplexity: float


def _both_embedded(pixels: np.ndarray, features: np.ndarray, what: str) -> list[Embedded]:
    """`embed` of the pixels and of the features, which are called `what`, in two processes."""
    import sklearn.manifold  # noqa: F401  takes a second; here, before the processes are forked

    sides = ((pixels, "the pixels"), (features, what))
    found = dict(parallel_map(lambda side: (side, embed(*sides[side])), range(2)))
    return [found[0], found[1]]


def embed(values: np.ndarray, what: str = "the values") -> Embedded:
    """t-SNE of `values`, N x D, after a principal component analysis. The same values give the same places.

    Raises NoData, which calls the values `what`, if they are not finite or all rows are equal: t-SNE would crash.
    """
    from sklearn.decomposition import PCA  # takes a second to import
    from sklearn.manifold import TSNE

    if not np.isfinite(values).all():
        raise NoData(f"{what} are not all finite numbers")
    spread = float(np.ptp(values.astype(np.float64), axis=0).max())
    if not spread:
        raise NoData(f"{what} are the same for all {len(values):,} images")
    if not _SPREAD[0] < spread < _SPREAD[1]:
        values = ((values - values.mean(0, np.float64)) / spread).astype(np.float32)
    components = min(_COMPONENTS, *values.shape)
    perplexity = min(_PERPLEXITY, (len(values) - 1) / 3)
    with threadpool_limits(1):  # with so few rows threads gain nothing, and on a busy machine they wait for each other
        reduced = PCA(components, random_state=0).fit_transform(values)
        init = "pca" if components > 1 else "random"
        tsne = TSNE(perplexity=perplexity, init=init, learning_rate="auto", random_state=0)
        return Embedded(tsne.fit_transform(reduced), components, perplexity)


def _method(embedded: list[Embedded]) -> str:
    """50 principal components, then t-SNE, perplexity 30"""
    components = dict.fromkeys(found.components for found in embedded)
    count = " and ".join(map(str, components))
    return f"{count} principal components, then t-SNE, perplexity {embedded[0].perplexity:.3g}"


def _net(run: Run) -> tuple[Path, dict[str, Any]] | None:
    """The run's trained net and its manifest, if both are there."""
    manifest = read_json(run.manifest)
    net = run.folder / manifest["model"]["file"] if manifest else None
    return (net, manifest) if manifest and net and net.is_file() else None


def _weights(run: Run) -> tuple[Path, str]:
    """The run's trained net and its status. Raises NoData if there is none, or if it has diverged."""
    net = _net(run)
    if net is None:
        raise NoData(f"{run.folder} has no trained net")
    file, manifest = net
    if not is_own_net(file, manifest):
        raise NoData(f"{file} is not the net that its manifest.json names")
    status = manifest["result"]["status"]
    if status == "diverged":
        raise NoData(f"{run.folder} has diverged, so its features mean nothing")
    return file, status


def _both_halves(
    engine: Engine, split: Split, run: Run, solver: SolverParameter, weights: Path, layer: str
) -> tuple[np.ndarray, list[np.ndarray], np.ndarray]:
    """Of both validation sets: pixels (images x values, float32), labels of each half, features (images x values)."""
    pixels, labels, features = [], [], []
    for half in HALVES:
        lmdb = split.val_lmdb(half)
        require(lmdb)
        with lmdb_file.open_reader(lmdb) as reader:
            images = [datum.decode(value) for _, value in islice(reader, IMAGES)]
        pixels += [image.ravel() for image, _ in images]
        labels.append(np.array([label for _, label in images]))
        features.append(layer_features(engine, run.folder / NET, solver, weights, layer, lmdb, len(images)))
    return np.array(pixels, np.float32), labels, np.concatenate(features)


def _scatter(axes: Axes, place: np.ndarray, halves: np.ndarray, title: str) -> None:
    for half, marker in zip(HALVES, "o^", strict=True):
        x, y = place[halves == half].T
        axes.scatter(
            x, y, s=9, marker=marker, color=style.HALF_COLORS[half], linewidths=0, alpha=0.75, label=f"half {half}"
        )
    axes.set(xticks=[], yticks=[])
    axes.grid(visible=False)
    axes.annotate(title, (0, 1), (0, 5), "axes fraction", "offset points", fontsize=8.5)


def _names(exp: Experiment, split: Split) -> dict[Half, list[str]]:
    """Half -> the names of its classes, by label."""
    classes = (read_json(split.marker) or {"classes": {"A": [], "B": []}})["classes"]
    names = class_names(exp)
    return {half: [names.get(class_id, class_id) for class_id in classes[half]] for half in HALVES}


def _name_classes(
    axes: Axes, place: np.ndarray, halves: np.ndarray, labels: np.ndarray, names: dict[Half, list[str]]
) -> list[Text]:
    """Writes the name of each class at the median place of its images, and returns these texts."""
    texts = []
    for half, of_half in names.items():
        for label, name in enumerate(of_half):
            own = place[(halves == half) & (labels == label)]
            if len(own):
                x, y = np.median(own, axis=0)
                box = {
                    "boxstyle": "round,pad=0.15",
                    "facecolor": "white",
                    "edgecolor": style.HALF_COLORS[half],
                    "alpha": 0.85,
                    "linewidth": 0.6,
                }
                texts.append(axes.text(x, y, style.shorten(name), fontsize=6.5, ha="center", va="center", bbox=box))
    return texts
