"""Flatten against real Caffe, bit for bit."""

import pytest

from tests.helpers.both_engines import Both, net_of
from tests.helpers.layer_checks import order_of_values_is_caffes
from tests.helpers.layer_text import between_layers, layer
from tests.helpers.refusals import refused

SHAPE = (2, 6, 4, 5)


@pytest.mark.parametrize(
    "settings_",
    ["", "axis: 0", "axis: 2", "axis: 1 end_axis: 2", "axis: -3 end_axis: -2", "axis: 3", "axis: 2 end_axis: 1"],
)
def test_flatten(real_caffe, tmp_path, figures, settings_) -> None:
    text = net_of(layer("Flatten", f"flatten_param {{ {settings_} }}"), x=SHAPE)
    Both(real_caffe, text, tmp_path).agree(figures, "Flatten", tolerance=0)


def test_the_order_of_values_is_caffes_behind_a_convolution(real_caffe, tmp_path, figures) -> None:
    order_of_values_is_caffes(real_caffe, tmp_path, figures, between_layers("Flatten"), "Flatten")


REFUSALS = {
    "flatten in place": (layer("Flatten", tops="x"), "in-place"),
    "flatten backwards": (layer("Flatten", "flatten_param { axis: 3 end_axis: 1 }"), "axis 3 comes after end_axis 1"),
}


@pytest.mark.parametrize(("layers", "message"), REFUSALS.values(), ids=REFUSALS.keys())
def test_what_caffe_refuses_is_refused(real_caffe, tmp_path, layers, message) -> None:
    refused(net_of(layers, x=SHAPE), message, tmp_path, real_caffe)
