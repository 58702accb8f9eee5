"""Several pictures of the same size on one sheet."""

from collections.abc import Iterable

import numpy as np


def tiled(pictures: Iterable[np.ndarray], rows: int, columns: int, height: int, width: int, gap: int) -> np.ndarray:
    """The pictures on a white sheet of `rows` x `columns`, row by row, `gap` pixels apart: uint8, HxWx3.

    The pictures are uint8, `height` x `width` x 3 (or x 1: gray). Cells without a picture stay white.
    """
    sheet = np.full((rows * (height + gap) - gap, columns * (width + gap) - gap, 3), 255, np.uint8)
    for i, picture in enumerate(pictures):
        top, left = i // columns * (height + gap), i % columns * (width + gap)
        sheet[top : top + height, left : left + width] = picture
    return sheet
