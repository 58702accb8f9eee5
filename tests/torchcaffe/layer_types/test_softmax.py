"""Softmax against real Caffe."""

from pathlib import Path

import pytest

from tests.helpers.both_engines import Both, Figures, net_of
from tests.helpers.layer_text import layer
from tests.helpers.real_caffe import RealCaffe


@pytest.mark.parametrize("axis", [1, 0, 3, -2])
def test_softmax(real_caffe: RealCaffe, tmp_path: Path, figures: Figures, axis: int) -> None:
    text = net_of(layer("Softmax", f"softmax_param {{ axis: {axis} }}"), x=(3, 4, 5, 2))
    Both(real_caffe, text, tmp_path).agree(figures, "Softmax")
