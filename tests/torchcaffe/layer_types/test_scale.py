"""Scale against real Caffe: a learned operand or a second bottom, with and without a bias, apart and in place."""

from pathlib import Path

import pytest

from tests.helpers.both_engines import Both, net_of
from tests.helpers.broadcast_operands import LEARNED, SECOND, SHAPE
from tests.helpers.layer_checks import initial_parameters_are_caffes, parameter_gradients_add_up
from tests.helpers.layer_text import apart_and_in_place, layer
from tests.helpers.real_caffe import RealCaffe
from tests.helpers.refusals import refused


@apart_and_in_place
@pytest.mark.parametrize("bias", ["", "bias_term: true"], ids=["alone", "with a bias"])
@pytest.mark.parametrize("settings_", LEARNED.values(), ids=LEARNED.keys())
def test_learned_scale(real_caffe, tmp_path, figures, settings_, bias, tops) -> None:
    text = net_of(layer("Scale", f"scale_param {{ {settings_} {bias} }}", tops=tops), x=SHAPE)
    Both(real_caffe, text, tmp_path).agree(figures, "Scale")


@apart_and_in_place
@pytest.mark.parametrize("bias", ["", "bias_term: true"], ids=["alone", "with a bias"])
@pytest.mark.parametrize(("settings_", "shape"), SECOND.values(), ids=SECOND.keys())
def test_scale_that_is_a_bottom(real_caffe, tmp_path, figures, settings_, shape, bias, tops) -> None:
    first = (1, 3, 4, 5) if shape == (1,) else SHAPE
    text = net_of(layer("Scale", f"scale_param {{ {settings_} {bias} }}", "x z", tops), x=first, z=shape)
    Both(real_caffe, text, tmp_path).agree(figures, "Scale")


@pytest.mark.parametrize("shape", [(1, 3, 6, 6), (2, 3, 6, 6), (2, 3, 6, 1)], ids=str)
def test_between_the_data_and_a_convolution(real_caffe, tmp_path, figures, shape) -> None:
    kernel = f"kernel_h: 3 kernel_w: {min(3, shape[3])}"
    above = layer("Convolution", f"convolution_param {{ num_output: 2 {kernel} }}", "y", "z", "above")
    text = net_of(layer("Scale", "scale_param { bias_term: true }") + above, x=shape)
    Both(real_caffe, text, tmp_path).agree(figures, "Scale")


def test_gradients_of_parameters_add_up_over_passes(real_caffe, tmp_path) -> None:
    parameter_gradients_add_up(real_caffe, tmp_path, "Scale", "scale_param { axis: 0 num_axes: -1 }")


FILLED = [
    "",
    'scale_param { filler { type: "uniform" min: 1 max: 2 } bias_term: true bias_filler { type: "gaussian" std: 1 } }',
]


@pytest.mark.parametrize("settings_", FILLED, ids=["as it comes", "filled"])
def test_parameters_begin_as_caffes(real_caffe: RealCaffe, tmp_path: Path, settings_: str) -> None:
    initial_parameters_are_caffes(real_caffe, tmp_path, net_of(layer("Scale", settings_), x=(2, 5)))


REFUSALS = {
    "a scale past the end": (layer("Scale", "scale_param { axis: 2 num_axes: 3 }"), "num_axes 3 extends past"),
    "num_axes below -1": (layer("Scale", "scale_param { num_axes: -2 }"), "num_axes must be non-negative.*found -2"),
    "an operand of another size": (layer("Scale", "scale_param { axis: 0 }", "x z"), "dimension mismatch"),
    "a bias behind such an operand": (layer("Scale", "scale_param { bias_term: true }", "x z"), "dimension mismatch"),
}


@pytest.mark.parametrize(("layers", "message"), REFUSALS.values(), ids=REFUSALS.keys())
def test_what_caffe_refuses_is_refused(real_caffe, tmp_path, layers, message) -> None:
    refused(net_of(layers, x=SHAPE, z=(4, 5)), message, tmp_path, real_caffe)
