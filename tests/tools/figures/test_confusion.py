"""The figure of a confusion matrix, of few classes and of many."""

from pathlib import Path

import cv2
import numpy as np
import pytest

from tools.figures import confusion


@pytest.mark.parametrize("classes", [2, 100])
def test_the_matrix_is_drawn_with_its_classes_and_nothing_is_cut_off(tmp_path: Path, classes: int):
    names = [f"a class with a long name, the {i}th of all" for i in range(classes)]
    confusion.draw("Title", "facts", names, np.eye(classes, dtype=int) * 7, tmp_path / "matrix")
    ink = (cv2.imread(str(tmp_path / "matrix.png")) < 250).any(axis=2)
    assert (tmp_path / "matrix.pdf").is_file() and ink.mean() > 0.005
    assert not np.concatenate([ink[0], ink[-1], ink[:, 0], ink[:, -1]]).any()


def test_a_class_without_an_image_is_an_empty_row(tmp_path: Path):
    confusion.draw("Title", "facts", ["a", "b"], np.array([[3, 1], [0, 0]]), tmp_path / "matrix")
    assert (tmp_path / "matrix.png").is_file()
