"""Parameter against real Caffe: its top, its gradient, and a second backward pass, which replaces the first."""

import numpy as np
import pytest

from tests.helpers.both_engines import Both, net_of
from tests.helpers.layer_checks import initial_parameters_are_caffes
from tests.helpers.layer_text import layer
from tests.helpers.refusals import refused


def parameter(settings_: str) -> str:
    return layer("Parameter", settings_, "", "p") + layer("Eltwise", "eltwise_param { coeff: 2 }", "p p", name="sum")


@pytest.mark.parametrize("shape", ["dim: 2 dim: 3 dim: 4 dim: 5", "dim: 7", ""], ids=["4 axes", "1", "none"])
def test_a_parameter_that_several_layers_read(real_caffe, tmp_path, figures, shape) -> None:
    text = net_of(
        layer("Parameter", f"parameter_param {{ shape {{ {shape} }} }}", "", "p")
        + layer("Eltwise", "eltwise_param { operation: PROD }", "p x", name="product")
        + layer("TanH", "", "p", "t", name="tanh"),
        x=tuple(map(int, shape.replace("dim:", "").split())),
    )
    Both(real_caffe, text, tmp_path).agree(figures, "Parameter")


def test_a_second_backward_pass_replaces_the_gradient(real_caffe, tmp_path) -> None:
    """Caffe's parameter and top share their gradient, too."""
    text = net_of(
        layer("Parameter", "parameter_param { shape { dim: 3 } }", "", "p") + layer("Power", "", "p", name="all")
    )
    both = Both(real_caffe, text, tmp_path)
    both.net.backward()
    np.testing.assert_array_equal(both.net.params["it"][0].diff, both.right["param diff it 0"])


def test_it_begins_with_zeros_or_as_the_prototxt_says(real_caffe, tmp_path) -> None:
    settings_ = "parameter_param { shape { dim: 2 } }"
    initial_parameters_are_caffes(real_caffe, tmp_path, layer("Parameter", settings_, "", "p"))
    given = settings_ + " blobs { shape { dim: 2 } data: 3 data: 4 }"
    initial_parameters_are_caffes(real_caffe, tmp_path, layer("Parameter", given, "", "p"))


REFUSALS = {
    "a bottom": (layer("Parameter", "parameter_param { shape { dim: 2 } }"), "1 bottom blobs"),
    "two tops": (layer("Parameter", "", "", "p q"), "2 top blobs"),
}


@pytest.mark.parametrize(("layers", "message"), REFUSALS.values(), ids=REFUSALS.keys())
def test_what_caffe_refuses_is_refused(real_caffe, tmp_path, layers, message) -> None:
    refused(net_of(layers, x=(2,)), message, tmp_path, real_caffe)
