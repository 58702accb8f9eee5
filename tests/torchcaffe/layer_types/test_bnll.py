"""BNLL against real Caffe, apart and in place."""

import numpy as np
import pytest

from tests.helpers.both_engines import Both, net_of
from tests.helpers.layer_text import apart_and_in_place, layer


@apart_and_in_place
@pytest.mark.parametrize("shape", [(2, 3, 4, 5), (7,), (3, 4)], ids=str)
def test_bnll(real_caffe, tmp_path, figures, shape, tops) -> None:
    Both(real_caffe, net_of(layer("BNLL", tops=tops), x=shape), tmp_path).agree(figures, "BNLL")


def test_bnll_far_from_zero_and_at_zero(real_caffe, tmp_path, figures) -> None:
    for x in ([-80, -30, -1, 0, 0, 1], [-60, 25, 60, 80, 0, -1]):
        Both(real_caffe, net_of(layer("BNLL"), x=(6,)), tmp_path, x=np.array(x)).agree(figures, "BNLL")
