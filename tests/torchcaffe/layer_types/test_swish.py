"""Swish against real Caffe."""

import pytest

from tests.helpers.both_engines import Both, net_of
from tests.helpers.layer_text import apart_and_in_place, layer


@apart_and_in_place
@pytest.mark.parametrize("beta", ["", "swish_param { beta: -0.7 }", "swish_param { beta: 0 }"])
def test_swish(real_caffe, tmp_path, figures, tops, beta) -> None:
    text = net_of(layer("Swish", beta, tops=tops), x=(4, 3, 2, 5))
    Both(real_caffe, text, tmp_path).agree(figures, "Swish")
