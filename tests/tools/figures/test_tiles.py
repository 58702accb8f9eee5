"""Pictures on one sheet."""

import numpy as np

from tools.figures.tiles import tiled


def test_pictures_fill_the_rows_and_what_is_left_is_white() -> None:
    pictures = [np.full((2, 3, 3), shade, np.uint8) for shade in (10, 20, 30)]
    sheet = tiled(pictures, rows=2, columns=2, height=2, width=3, gap=1)
    assert sheet.shape == (5, 7, 3) and sheet.dtype == np.uint8
    assert (sheet[:2, :3] == 10).all() and (sheet[:2, 4:] == 20).all() and (sheet[3:, :3] == 30).all()
    assert (sheet[2] == 255).all() and (sheet[:, 3] == 255).all() and (sheet[3:, 4:] == 255).all()


def test_a_gray_picture_has_three_equal_channels() -> None:
    sheet = tiled([np.full((1, 1, 1), 7, np.uint8)], rows=1, columns=1, height=1, width=1, gap=0)
    assert sheet.tolist() == [[[7, 7, 7]]]
