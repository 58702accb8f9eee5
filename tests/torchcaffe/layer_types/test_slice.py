"""Slice against real Caffe, bit for bit."""

import pytest

from tests.helpers.both_engines import Both, net_of
from tests.helpers.layer_checks import order_of_values_is_caffes
from tests.helpers.layer_text import between_layers, layer
from tests.helpers.real_caffe import CaffeAborted
from tests.helpers.refusals import refused

SHAPE = (2, 6, 4, 5)
SLICES = {
    "in two": ("", 2),
    "in three": ("axis: 1", 3),
    "not at all": ("", 1),
    "of the first axis": ("axis: 0", 2),
    "counted from the end": ("axis: -1 slice_point: 3", 2),
    "the old word": ("slice_dim: 2", 4),
    "at places": ("slice_point: 1 slice_point: 5", 3),
}


@pytest.mark.parametrize(("settings_", "tops"), SLICES.values(), ids=SLICES.keys())
def test_slice(real_caffe, tmp_path, figures, settings_, tops) -> None:
    text = net_of(layer("Slice", f"slice_param {{ {settings_} }}", tops="a b c d"[: 2 * tops - 1]), x=SHAPE)
    Both(real_caffe, text, tmp_path).agree(figures, "Slice", tolerance=0)


def test_a_slice_without_values_is_refused_where_caffe_stops_when_it_runs(real_caffe, tmp_path) -> None:
    text = net_of(layer("Slice", "slice_param { slice_point: 6 }", tops="a b"), x=SHAPE)
    refused(text, r"\[6\] must increase", tmp_path, None)
    with pytest.raises(CaffeAborted, match="Check failed: data_"):
        real_caffe.run('caffe.Net(given["path"], 1).forward()', path=str(tmp_path / "net.prototxt"))


def test_a_layer_in_place_on_a_slice_leaves_the_rest_alone(real_caffe, tmp_path, figures) -> None:
    for axis in (0, 1):
        layers = layer("Sigmoid", tops="s", name="below")
        layers += layer("Slice", f"slice_param {{ axis: {axis} }}", "s", "a b")
        layers += layer("ReLU", "relu_param { negative_slope: 2 }", "a", "a", name="relu")
        layers += layer("Power", "power_param { shift: -9 }", "a", "n", name="n")
        layers += layer("ReLU", "", "n", "n", name="cut")
        Both(real_caffe, net_of(layers, x=SHAPE), tmp_path).agree(figures, "Slice and layers in place")


def test_the_order_of_values_is_caffes_behind_a_convolution(real_caffe, tmp_path, figures) -> None:
    order_of_values_is_caffes(real_caffe, tmp_path, figures, between_layers("Slice", "", "a b"), "Slice")


REFUSALS = {
    "slices that do not divide": (layer("Slice", tops="a b c d"), r"\(4\) should evenly divide axis 1 of size 6"),
    "too few slice points": (layer("Slice", "slice_param { slice_point: 1 }", tops="a b c"), "1 slice_point for 3"),
    "slice points that fall": (
        layer("Slice", "slice_param { slice_point: 3 slice_point: 2 }", tops="a b c"),
        r"\[3, 2\] must increase",
    ),
    "a slice point at 0": (layer("Slice", "slice_param { slice_point: 0 }", tops="a b"), r"\[0\] must increase"),
    "a slice point too far": (layer("Slice", "slice_param { slice_point: 7 }", tops="a b"), r"\[7\] must increase"),
    "slices along two": (layer("Slice", "slice_param { axis: 1 slice_dim: 1 }", tops="a b"), "not both"),
    "more slices than values": (
        layer("Slice", "slice_param { axis: 0 slice_point: 1 slice_point: 2 }", tops="a b c"),
        "3 tops, but axis 0 is of size 2",
    ),
}


@pytest.mark.parametrize(("layers", "message"), REFUSALS.values(), ids=REFUSALS.keys())
def test_what_caffe_refuses_is_refused(real_caffe, tmp_path, layers, message) -> None:
    refused(net_of(layers, x=SHAPE), message, tmp_path, real_caffe)
