"""Figure 5.1 of the thesis: training images of three classes of each half, read from the LMDBs: what the nets see."""

from collections import defaultdict
from pathlib import Path

import numpy as np

from caffeformat import FormatError, datum, lmdb_file
from tools.common.errors import UserError
from tools.common.files import read_json
from tools.common.lmdb_removal import require
from tools.figures import NoData, style
from tools.figures.tiles import tiled
from tools.protocol.experiment import Experiment
from tools.protocol.layout import HALVES, split_of
from tools.protocol.register import card, thesis_classes

NAME = "samples"
CAPTION = "Training images of three classes of each half, as the nets see them (figure 5.1 of the thesis)."
CLASSES = 3  # of each half
ROWS, COLUMNS = 2, 4  # of images of each class


def draw(exp: Experiment, folder: Path) -> None:
    """Writes samples.png and .pdf: the first training images of some classes of each half, the thesis' own first.

    Raises NoData if there is no split or no LMDB.
    """
    split = split_of(exp, exp.seeds[0])
    split_record = read_json(split.marker)
    if split_record is None:
        raise NoData(f"{split.marker} is not there")
    names = class_names(exp)
    figure = style.new_figure(3.2, left=0.04, right=0.99, top=0.87, bottom=0.08, wspace=0.06, hspace=0.2)
    panels = figure.subplots(2, CLASSES)
    for row, half in zip(panels, HALVES, strict=True):
        ids = split_record["classes"][half]
        chosen = choose(ids, card(exp.dataset).samples)
        images = _first_images(split.train_lmdb(half, exp.full_size), set(chosen))
        row[0].set_ylabel(f"half {half}", labelpad=4)
        for axes in row:
            axes.set(xticks=[], yticks=[])
            axes.grid(visible=False)
            axes.spines[:].set_visible(False)
        for axes, label in zip(row, chosen, strict=False):
            name = style.shorten(names.get(ids[label], ids[label]))
            if images[label]:
                axes.imshow(mosaic(images[label]), interpolation="none")
            axes.set_xlabel(name if images[label] else f"{name}: no image", labelpad=3, fontsize=8.5)
    facts = f"{len(chosen)} of {len(ids)} classes a half, first images of each, {exp.image_size} pixels a side"
    style.set_title(panels[0, 0], f"{style.dataset_title(exp)}: training images", facts)
    style.save(figure, folder / NAME)


def choose(ids: list[str], shown: list[str]) -> list[int]:
    """The labels of three classes of a half, whose ids are `ids`: those of `shown`, and others spread over the half."""
    own = [ids.index(name) for name in shown if name in ids]
    spread = [len(ids) * i // CLASSES for i in range(CLASSES)]
    return list(dict.fromkeys([*own, *spread]))[:CLASSES]


def class_names(exp: Experiment) -> dict[str, str]:
    """Class id -> name, as far as names are known."""
    numbered = card(exp.dataset).names or []
    return {str(i): name for i, name in enumerate(numbered)} | (thesis_classes(exp.dataset) or {})


def _first_images(lmdb: Path, labels: set[int]) -> dict[int, list[np.ndarray]]:
    """Label -> the first images of the class, uint8, CHW: ROWS * COLUMNS, or all it has. Raises NoData."""
    images: dict[int, list[np.ndarray]] = defaultdict(list)
    try:
        require(lmdb)
        with lmdb_file.open_reader(lmdb) as reader:
            for _, value in reader:
                image, label = datum.decode(value)
                if label in labels and len(images[label]) < ROWS * COLUMNS:
                    images[label].append(image)
                    if all(len(images[one]) == ROWS * COLUMNS for one in labels):
                        break
    except (FormatError, UserError) as error:
        raise NoData(str(error)) from None
    return images


def mosaic(images: list[np.ndarray]) -> np.ndarray:
    """Images, uint8, CHW (gray or BGR), on a white sheet of ROWS x COLUMNS: uint8, HxWx3, RGB."""
    _, height, width = images[0].shape
    pictures = (image[::-1].transpose(1, 2, 0) for image in images)
    return tiled(pictures, ROWS, COLUMNS, height, width, gap=max(1, width // 28))
