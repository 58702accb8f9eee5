"""Crop against real Caffe, bit for bit."""

import pytest

from tests.helpers.both_engines import Both, net_of
from tests.helpers.layer_text import layer
from tests.helpers.refusals import refused

SHAPE = (2, 6, 4, 5)
CROPS = {
    "planes": ("", (2, 6, 3, 2)),
    "planes, at one offset": ("offset: 1", (2, 6, 3, 2)),
    "planes, at two": ("offset: 0 offset: 3", (2, 6, 4, 2)),
    "channels": ("axis: 1 offset: 2 offset: 1 offset: 0", (9, 3, 2, 5)),
    "the last axis": ("axis: -1 offset: 1", (1, 1, 1, 3)),
    "all": ("axis: 0 offset: 1 offset: 2 offset: 0 offset: 1", (1, 4, 4, 4)),
    "nothing": ("", SHAPE),
}


@pytest.mark.parametrize(("settings_", "shape"), CROPS.values(), ids=CROPS.keys())
def test_crop(real_caffe, tmp_path, figures, settings_, shape) -> None:
    text = net_of(layer("Crop", f"crop_param {{ {settings_} }}", "x z"), x=SHAPE, z=shape)
    Both(real_caffe, text, tmp_path).agree(figures, "Crop", tolerance=0)


def test_a_layer_in_place_on_a_crop_leaves_the_bottom_alone(real_caffe, tmp_path, figures) -> None:
    layers = layer("TanH", tops="s", name="below")
    layers += layer("Crop", "crop_param { axis: 0 }", "s z", "a")
    layers += layer("ReLU", "", "a", "a", name="relu")
    Both(real_caffe, net_of(layers, x=SHAPE, z=SHAPE), tmp_path).agree(figures, "Crop and layers in place")


REFUSALS = {
    "crop of one": (layer("Crop"), "1 bottom blobs; the type takes 2"),
    "crop to a larger one": (layer("Crop", "", "z x"), "crop for dimension 2.*4 at offset 0 of 2"),
    "crop too far": (layer("Crop", "crop_param { offset: 3 }", "x z"), "dimension 2.*: 2 at offset 3 of 4"),
    "crop with offsets of another number": (
        layer("Crop", "crop_param { axis: 1 offset: 1 offset: 1 }", "x z"),
        r"offset values \(2\).*axis 1 on \(3\)",
    ),
    "crop to too few axes": (layer("Crop", "", "x v"), "too few axes"),
}


@pytest.mark.parametrize(("layers", "message"), REFUSALS.values(), ids=REFUSALS.keys())
def test_what_caffe_refuses_is_refused(real_caffe, tmp_path, layers, message) -> None:
    refused(net_of(layers, x=SHAPE, z=(2, 3, 2, 2), v=(3,)), message, tmp_path, real_caffe)
