"""Figure 5.2 of the thesis: both validation halves by t-SNE, of their pixels and of a layer's features.

The features are those of the source net of half A: it has learnt half A, and has never seen half B.
"""

from pathlib import Path

import numpy as np
from matplotlib.axes import Axes
from sklearn.decomposition import PCA
from sklearn.manifold import TSNE
from threadpoolctl import threadpool_limits

from caffeformat import FormatError, datum, lmdb_file, prototxt
from tools.common.errors import UserError
from tools.common.files import read_json, write_atomic
from tools.figures import NoData, style
from tools.figures.samples import class_names
from tools.nets.templates import NET
from tools.protocol.experiment import Experiment
from tools.protocol.layout import Run, Split, experiment_name, split_of
from tools.protocol.weighted_layers import weighted_blocks
from tools.results.columns import csv_text
from tools.training.engine import find
from tools.training.features import features

NAME = "tsne"
CAPTION = (
    "Validation images of both halves by t-SNE (figure 5.2 of the thesis): left of their pixels, right of the features "
    "that the source net of half A has of them. Distances between groups mean little in such a picture, neighbours do."
)
COLUMNS = ("half", "label", "pixels_x", "pixels_y", "features_x", "features_y")
IMAGES = 500  # of a half: the first of its LMDB, which is shuffled
_COMPONENTS = 50  # of a principal component analysis, before t-SNE: as its authors advise
_NAMED = 12  # classes whose names still fit into the picture


def draw(exp: Experiment, engine: str, folder: Path, layer: str | None = None) -> Path:
    """Writes tsne.png, .pdf and .csv of the last hidden layer, or tsne-`layer`.*; returns the PNG. Raises NoData."""
    seed = exp.seeds[0]
    split, run = split_of(exp, seed), _source_net(exp, engine, seed)
    weights = _weights(run)
    try:
        name = layer or weighted_blocks(prototxt.read_net(run.folder / NET), run.folder / NET)[-2].main.name
        pixels, labels, answers = _both_halves(split, run, weights, name)
    except (UserError, FormatError) as error:
        raise NoData(str(error)) from None
    places = {"pixels": embed(pixels), "features": embed(answers)}
    halves = np.repeat(["A", "B"], [len(found) for found in labels])
    figure = style.new_figure(3.9, left=0.01, right=0.99, top=1 - (style.HEAD + 0.2) / 3.9, bottom=0.065, wspace=0.04)
    left, right = figure.subplots(1, 2)
    titles = (f"pixels, {pixels.shape[1]:,} values an image", f"{name}, {answers.shape[1]:,} values an image")
    for axes, place, title in zip((left, right), places.values(), titles, strict=True):
        _scatter(axes, place, halves, title)
    names = _names(exp, split)
    if sum(map(len, names.values())) <= _NAMED:
        for axes, place in zip((left, right), places.values(), strict=True):
            _name_classes(axes, place, halves, np.concatenate(labels), names)
    figure.legend(*left.get_legend_handles_labels(), loc="lower center", ncols=2, markerscale=1.6)
    facts = f"{len(halves):,} images; {_COMPONENTS} principal components, then t-SNE, perplexity 30; net: {run.key}"
    style.head_of_all(figure, f"{style.dataset_title(exp)}: the validation halves", facts)
    path = folder / (NAME if layer is None else f"{NAME}-{layer.replace('/', '-')}")
    table = np.column_stack([*places.values()]).round(3)
    rows = zip(halves, np.concatenate(labels), *table.T, strict=True)
    write_atomic(
        path.with_name(f"{path.name}.csv"), csv_text(COLUMNS, [dict(zip(COLUMNS, row, strict=True)) for row in rows])
    )
    style.save(figure, path)
    return path.with_name(f"{path.name}.png")


def embed(values: np.ndarray) -> np.ndarray:
    """t-SNE of N rows, after their principal components: float32, N x 2. The same values give the same places."""
    parts = min(_COMPONENTS, *values.shape)
    perplexity = min(30.0, (len(values) - 1) / 3)
    with threadpool_limits(1):  # so few rows gain nothing from threads, and beside other work these wait for each other
        reduced = PCA(parts, random_state=0).fit_transform(values)
        tsne = TSNE(perplexity=perplexity, init="pca", learning_rate="auto", random_state=0)
        return tsne.fit_transform(reduced)


def _source_net(exp: Experiment, engine: str, seed: int) -> Run:
    """The net that was trained on the whole of half A."""
    condition = "source" if exp.mean == "source" else "base"
    return Run(experiment_name(exp, engine), "B2A", exp.full_size, condition, seed)


def _weights(run: Run) -> Path:
    made = read_json(run.manifest)
    if made is None or not (run.folder / made["model"]["file"]).is_file():
        raise NoData(f"{run.folder} has no trained net")
    return run.folder / made["model"]["file"]


def _both_halves(split: Split, run: Run, weights: Path, layer: str) -> tuple[np.ndarray, list[np.ndarray], np.ndarray]:
    """Of both validation sets: pixels (images x values, float32), each half's labels, features (images x values)."""
    engine, pixels, labels, answers = find(), [], [], []
    for half in "AB":
        with lmdb_file.open_reader(split.val_lmdb(half)) as reader:
            found = [datum.decode(value) for (_, value), _ in zip(reader, range(IMAGES), strict=False)]
        pixels += [image.ravel() for image, _ in found]
        labels.append(np.array([label for _, label in found]))
        answers.append(features(engine, run.folder / NET, weights, layer, split.val_lmdb(half), len(found)))
    return np.array(pixels, np.float32), labels, np.concatenate(answers)


def _scatter(axes: Axes, place: np.ndarray, halves: np.ndarray, title: str) -> None:
    for half, marker in (("A", "o"), ("B", "^")):
        x, y = place[halves == half].T
        axes.scatter(x, y, s=9, marker=marker, color=style.HALVES[half], linewidths=0, alpha=0.75, label=f"half {half}")
    axes.set(xticks=[], yticks=[])
    axes.grid(visible=False)
    axes.annotate(title, (0, 1), (0, 5), "axes fraction", "offset points", fontsize=8.5)


def _names(exp: Experiment, split: Split) -> dict[str, list[str]]:
    """Half -> the names of its classes, by label."""
    classes = (read_json(split.marker) or {"classes": {"A": [], "B": []}})["classes"]
    known = class_names(exp)
    return {half: [known.get(name, name) for name in classes[half]] for half in "AB"}


def _name_classes(
    axes: Axes, place: np.ndarray, halves: np.ndarray, labels: np.ndarray, names: dict[str, list[str]]
) -> None:
    """Writes each class's name where the middle of its images is."""
    for half, known in names.items():
        for label, name in enumerate(known):
            own = place[(halves == half) & (labels == label)]
            if len(own):
                x, y = np.median(own, axis=0)
                box = {
                    "boxstyle": "round,pad=0.15",
                    "facecolor": "white",
                    "edgecolor": style.HALVES[half],
                    "alpha": 0.85,
                    "linewidth": 0.6,
                }
                axes.text(x, y, name, fontsize=6.5, ha="center", va="center", bbox=box)
