"""LSTMUnit against real Caffe: cells, outputs, gradients, and shapes that do not fit."""

import numpy as np
import pytest

from tests.helpers.both_engines import Both, net_of
from tests.helpers.layer_text import layer
from tests.helpers.refusals import refused

UNIT = layer("LSTMUnit", "", "c x cont", "c1 h1")


@pytest.mark.parametrize("cont", [[1, 0, 1, 0, 1], [1, 1, 1, 1, 1], [0, 0.5, 2, -1, 1]], ids=str)
def test_a_timestep(real_caffe, tmp_path, figures, cont) -> None:
    """Also of indicators that are neither 0 nor 1, whose gradient Caffe computes in its own way."""
    text = net_of(UNIT, c=(1, 5, 3), x=(1, 5, 12), cont=(1, 5))
    Both(real_caffe, text, tmp_path, cont=[cont]).agree(figures, "LSTMUnit")


def test_gates_that_are_wide_open_or_shut(real_caffe, tmp_path, figures) -> None:
    x = np.random.default_rng(1).standard_normal((1, 2, 8)) * 40
    text = net_of(UNIT, c=(1, 2, 2), x=(1, 2, 8), cont=(1, 2))
    Both(real_caffe, text, tmp_path, x=x, cont=[[1, 1]]).agree(figures, "LSTMUnit")


def test_the_gradient_of_gates_near_their_ends_is_caffes_in_each_value(real_caffe, tmp_path) -> None:
    x = np.repeat(np.linspace(-20, 20, 200), 4).reshape(1, 200, 4)
    text = net_of(UNIT, c=(1, 200, 1), x=x.shape, cont=(1, 200))
    both = Both(real_caffe, text, tmp_path, x=x, cont=np.ones((1, 200)))
    np.testing.assert_allclose(both.found["diff x"], both.right["diff x"], rtol=1e-4, atol=1e-13)


REFUSALS = {
    "too few gates": ((1, 5, 3), (1, 5, 11), (1, 5), "has 11 inputs of gates for 3 cells"),
    "two timesteps": ((2, 5, 3), (2, 5, 12), (2, 5), r"'c' is of \(2, 5, 3\)"),
    "indicators of three axes": ((1, 5, 3), (1, 5, 12), (1, 1, 5), r"'cont' is of \(1, 1, 5\)"),
    "other sequences": ((1, 5, 3), (1, 4, 12), (1, 5), r"'x' is of \(1, 4, 12\)"),
}


@pytest.mark.parametrize(("c", "x", "cont", "message"), REFUSALS.values(), ids=REFUSALS.keys())
def test_what_caffe_refuses_is_refused(real_caffe, tmp_path, c, x, cont, message) -> None:
    refused(net_of(UNIT, c=c, x=x, cont=cont), message, tmp_path, real_caffe)
