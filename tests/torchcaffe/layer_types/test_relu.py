"""ReLU against real Caffe, apart and in place."""

from pathlib import Path

import pytest

from tests.helpers.both_engines import Both, Figures, net_of
from tests.helpers.layer_text import apart_and_in_place, layer
from tests.helpers.real_caffe import RealCaffe


@apart_and_in_place
@pytest.mark.parametrize("slope", [0, 0.1, 1.5])
def test_relu(real_caffe: RealCaffe, tmp_path: Path, figures: Figures, slope: float, tops: str) -> None:
    text = net_of(layer("ReLU", f"relu_param {{ negative_slope: {slope} }}", tops=tops), x=(2, 3, 4, 5))
    Both(real_caffe, text, tmp_path).agree(figures, "ReLU")
