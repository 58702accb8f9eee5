"""Exp against real Caffe, apart and in place."""

import pytest

from tests.helpers.both_engines import Both, net_of
from tests.helpers.layer_text import apart_and_in_place, layer
from tests.helpers.refusals import refused


@apart_and_in_place
@pytest.mark.parametrize(
    "settings_", ["", "base: 2", "base: 0.5 scale: 2 shift: -1", "scale: -0.5 shift: 1", "base: 1"]
)
def test_exp(real_caffe, tmp_path, figures, settings_, tops) -> None:
    text = net_of(layer("Exp", f"exp_param {{ {settings_} }}", tops=tops), x=(2, 3, 4, 5))
    Both(real_caffe, text, tmp_path).agree(figures, "Exp")


REFUSALS = {
    "base 0": (layer("Exp", "exp_param { base: 0 }"), "base must be strictly positive.*found 0"),
    "base -2": (layer("Exp", "exp_param { base: -2 }"), "base must be strictly positive"),
    "base inf": (layer("Exp", "exp_param { base: inf }"), "base must be strictly positive.*inf"),
}


@pytest.mark.parametrize(("layers", "message"), REFUSALS.values(), ids=REFUSALS.keys())
def test_what_caffe_refuses_is_refused(real_caffe, tmp_path, layers, message) -> None:
    refused(net_of(layers, x=(2, 3)), message, tmp_path, real_caffe)
