"""Figure 5.1 of the thesis: training images of three classes of each half, as the nets see them: read from the LMDB."""

from collections import defaultdict
from pathlib import Path

import numpy as np

from caffeformat import FormatError, datum, lmdb_file
from tools.common.files import read_json
from tools.figures import NoData, style
from tools.protocol.experiment import Experiment
from tools.protocol.layout import split_of
from tools.protocol.register import card, thesis_classes

NAME = "samples"
CAPTION = "Training images of three classes of each half, as the nets see them (figure 5.1 of the thesis)."
CLASSES = 3  # a half
ROWS, COLUMNS = 2, 4  # images of a class
_CAPTION = 30  # letters that fit under a class


def draw(exp: Experiment, folder: Path) -> None:
    """Writes samples.png and .pdf: the first images, in the order of training, of classes spread over each half.

    Raises NoData where a split or an LMDB is not there.
    """
    split = split_of(exp, exp.seeds[0])
    made = read_json(split.marker)
    if made is None:
        raise NoData(f"{split.marker} is not there")
    names = class_names(exp)
    figure = style.new_figure(3.2, left=0.04, right=0.99, top=0.87, bottom=0.08, wspace=0.06, hspace=0.2)
    every = figure.subplots(2, CLASSES)
    for row, half in zip(every, "AB", strict=True):
        ids = made["classes"][half]
        chosen = sorted({len(ids) * i // CLASSES for i in range(CLASSES)})
        images = _first_images(split.train_lmdb(half, exp.full_size), set(chosen))
        row[0].set_ylabel(f"half {half}", labelpad=4)
        for axes in row:
            axes.set(xticks=[], yticks=[])
            axes.grid(visible=False)
            axes.spines[:].set_visible(False)
        for axes, label in zip(row, chosen, strict=False):
            axes.imshow(mosaic(images[label]), interpolation="none")
            axes.set_xlabel(shorten(names.get(ids[label], ids[label])), labelpad=3, fontsize=8.5)
    facts = f"{len(chosen)} of {len(ids)} classes a half, first images of each, {exp.image_size} pixels a side"
    style.head(every[0, 0], f"{style.dataset_title(exp)}: training images", facts)
    style.save(figure, folder / NAME)


def class_names(exp: Experiment) -> dict[str, str]:
    """id -> name, for the data sets whose names are known."""
    numbered = card(exp.dataset).names or []
    return {str(i): name for i, name in enumerate(numbered)} | (thesis_classes(exp.dataset) or {})


def _first_images(lmdb: Path, labels: set[int]) -> dict[int, list[np.ndarray]]:
    """Label -> its first images, uint8, CHW. Fewer where the class has no more. Raises NoData."""
    found: dict[int, list[np.ndarray]] = defaultdict(list)
    try:
        with lmdb_file.open_reader(lmdb) as reader:
            for _, value in reader:
                image, label = datum.decode(value)
                if label in labels and len(found[label]) < ROWS * COLUMNS:
                    found[label].append(image)
                    if all(len(found[one]) == ROWS * COLUMNS for one in labels):
                        break
    except FormatError as error:
        raise NoData(str(error)) from None
    return found


def mosaic(images: list[np.ndarray]) -> np.ndarray:
    """Images, uint8, CHW (gray or BGR), on a white sheet of ROWS x COLUMNS: uint8, HxWx3, RGB."""
    _, height, width = images[0].shape
    gap = max(1, width // 28)
    sheet = np.full((ROWS * (height + gap) - gap, COLUMNS * (width + gap) - gap, 3), 255, np.uint8)
    for i, image in enumerate(images):
        top, left = i // COLUMNS * (height + gap), i % COLUMNS * (width + gap)
        sheet[top : top + height, left : left + width] = image[::-1].transpose(1, 2, 0)
    return sheet


def shorten(name: str) -> str:
    return name if len(name) <= _CAPTION else f"{name[: _CAPTION - 1].rstrip()}…"
