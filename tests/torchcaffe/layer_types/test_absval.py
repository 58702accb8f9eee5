"""AbsVal against real Caffe."""

from pathlib import Path

import numpy as np
import pytest

from tests.helpers.both_engines import Both, Figures, net_of
from tests.helpers.layer_text import layer
from tests.helpers.real_caffe import RealCaffe
from tests.helpers.refusals import refused


@pytest.mark.parametrize("shape", [(2, 3, 4, 5), (7,), (3, 4)], ids=str)
def test_absval(real_caffe: RealCaffe, tmp_path: Path, figures: Figures, shape: tuple[int, ...]) -> None:
    x = np.random.default_rng(1).integers(-2, 3, shape)  # zeros too, where the gradient is 0
    Both(real_caffe, net_of(layer("AbsVal"), x=shape), tmp_path, x=x).agree(figures, "AbsVal")


def test_in_place_is_refused(real_caffe, tmp_path) -> None:
    refused(net_of(layer("AbsVal", tops="x"), x=(2, 3)), "in-place", tmp_path, real_caffe)
