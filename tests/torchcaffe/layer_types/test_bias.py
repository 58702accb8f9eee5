"""Bias against real Caffe: a learned operand or a second bottom, apart and in place."""

from pathlib import Path

import pytest

from tests.helpers.both_engines import Both, net_of
from tests.helpers.broadcast_operands import LEARNED, SECOND, SHAPE
from tests.helpers.layer_checks import initial_parameters_are_caffes, parameter_gradients_add_up
from tests.helpers.layer_text import apart_and_in_place, layer
from tests.helpers.real_caffe import RealCaffe
from tests.helpers.refusals import refused


@apart_and_in_place
@pytest.mark.parametrize("settings_", LEARNED.values(), ids=LEARNED.keys())
def test_learned_bias(real_caffe, tmp_path, figures, settings_, tops) -> None:
    text = net_of(layer("Bias", f"bias_param {{ {settings_} }}", tops=tops), x=SHAPE)
    Both(real_caffe, text, tmp_path).agree(figures, "Bias")


@apart_and_in_place
@pytest.mark.parametrize(("settings_", "shape"), SECOND.values(), ids=SECOND.keys())
def test_bias_that_is_a_bottom(real_caffe, tmp_path, figures, settings_, shape, tops) -> None:
    first = (1, 3, 4, 5) if shape == (1,) else SHAPE
    text = net_of(layer("Bias", f"bias_param {{ {settings_} }}", "x z", tops), x=first, z=shape)
    Both(real_caffe, text, tmp_path).agree(figures, "Bias")


def test_gradients_of_parameters_add_up_over_passes(real_caffe, tmp_path) -> None:
    parameter_gradients_add_up(real_caffe, tmp_path, "Bias", "bias_param { axis: 0 num_axes: -1 }")


FILLED = [
    "",
    'bias_param { filler { type: "gaussian" std: 1 } }',
]


@pytest.mark.parametrize("settings_", FILLED, ids=["as it comes", "filled"])
def test_parameters_begin_as_caffes(real_caffe: RealCaffe, tmp_path: Path, settings_: str) -> None:
    initial_parameters_are_caffes(real_caffe, tmp_path, net_of(layer("Bias", settings_), x=(2, 5)))


REFUSALS = {
    "a bias past the end": (layer("Bias", "bias_param { axis: 3 num_axes: 2 }"), "num_axes 2 extends past"),
    "an axis that is not there": (layer("Bias", "bias_param { axis: 4 }"), "axis 4"),
    "an operand past the end": (layer("Bias", "bias_param { axis: 3 }", "x z"), "dimension mismatch"),
}


@pytest.mark.parametrize(("layers", "message"), REFUSALS.values(), ids=REFUSALS.keys())
def test_what_caffe_refuses_is_refused(real_caffe, tmp_path, layers, message) -> None:
    refused(net_of(layers, x=SHAPE, z=(4, 5)), message, tmp_path, real_caffe)
