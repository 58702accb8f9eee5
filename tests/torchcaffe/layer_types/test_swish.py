"""Swish against real Caffe."""

import numpy as np
import pytest

from tests.helpers.both_engines import Both, net_of
from tests.helpers.layer_text import apart_and_in_place, layer


@apart_and_in_place
@pytest.mark.parametrize("beta", ["", "swish_param { beta: -0.7 }", "swish_param { beta: 0 }"])
def test_swish(real_caffe, tmp_path, figures, tops, beta) -> None:
    text = net_of(layer("Swish", beta, tops=tops), x=(4, 3, 2, 5))
    Both(real_caffe, text, tmp_path).agree(figures, "Swish")


def test_the_gradient_near_the_ends_is_caffes_in_each_value(real_caffe, tmp_path) -> None:
    """There 1 - y is a few units in the last digit of a float32, and one more or less would be a third of it."""
    x = np.linspace(-20, 20, 1000)
    both = Both(real_caffe, net_of(layer("Swish"), x=x.shape), tmp_path, x=x)
    np.testing.assert_allclose(both.found["diff x"], both.right["diff x"], rtol=1e-5, atol=1e-14)
