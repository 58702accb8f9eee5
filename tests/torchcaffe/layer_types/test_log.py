"""Log against real Caffe, apart and in place."""

import numpy as np
import pytest

from tests.helpers.both_engines import Both, net_of
from tests.helpers.layer_checks import wrong_gradient_in_place_is_refused
from tests.helpers.layer_text import apart_and_in_place, layer
from tests.helpers.refusals import refused


@apart_and_in_place
@pytest.mark.parametrize("settings_", ["", "base: 2", "base: 0.5 scale: 2 shift: 7", "scale: 3 shift: 1"])
def test_log(real_caffe, tmp_path, figures, settings_, tops) -> None:
    x = np.random.default_rng(2).uniform(1.5, 4, (2, 3, 4, 5))
    text = net_of(layer("Log", f"log_param {{ {settings_} }}", tops=tops), x=x.shape)
    Both(real_caffe, text, tmp_path, backward=tops == "y", x=x).agree(figures, "Log")


def test_a_gradient_in_place_where_caffes_is_wrong_is_refused(real_caffe, tmp_path) -> None:
    wrong_gradient_in_place_is_refused(real_caffe, tmp_path, layer("Log", "log_param { scale: 3 }", tops="x"))


REFUSALS = {
    "base -2": (layer("Log", "log_param { base: -2 }"), "base must be strictly positive"),
    "base 1": (layer("Log", "log_param { base: 1 }"), "base: 1 has no logarithms"),
}


@pytest.mark.parametrize(("layers", "message"), REFUSALS.values(), ids=REFUSALS.keys())
def test_what_caffe_refuses_is_refused(real_caffe, tmp_path, layers, message) -> None:
    refused(net_of(layers, x=(2, 3)), message, tmp_path, real_caffe)
