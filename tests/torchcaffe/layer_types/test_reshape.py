"""Reshape against real Caffe, bit for bit."""

import pytest

from tests.helpers.both_engines import Both, net_of
from tests.helpers.layer_checks import order_of_values_is_caffes
from tests.helpers.layer_text import between_layers, layer
from tests.helpers.refusals import refused

SHAPE = (2, 6, 4, 5)
RESHAPES = {
    "to a size": "shape { dim: 12 dim: 20 }",
    "keeping one, the rest left over": "shape { dim: 0 dim: -1 }",
    "left over in the middle": "shape { dim: 0 dim: -1 dim: 10 }",
    "some axes": "axis: 1 num_axes: 2 shape { dim: 24 }",
    "some axes, the rest left over": "axis: 1 num_axes: 2 shape { dim: 3 dim: -1 }",
    "an axis put in": "axis: 1 num_axes: 0 shape { dim: 1 dim: 1 }",
    "an axis put behind": "axis: -1 shape { dim: 1 }",
    "counted from the end": "axis: -2 shape { dim: -1 dim: 1 }",
    "more axes, two kept": "shape { dim: 0 dim: 0 dim: 2 dim: -1 dim: 5 }",
}


@pytest.mark.parametrize("settings_", RESHAPES.values(), ids=RESHAPES.keys())
def test_reshape(real_caffe, tmp_path, figures, settings_) -> None:
    text = net_of(layer("Reshape", f"reshape_param {{ {settings_} }}"), x=SHAPE)
    Both(real_caffe, text, tmp_path).agree(figures, "Reshape", tolerance=0)


def test_the_order_of_values_is_caffes_behind_a_convolution(real_caffe, tmp_path, figures) -> None:
    order_of_values_is_caffes(
        real_caffe,
        tmp_path,
        figures,
        between_layers("Reshape", "reshape_param { shape { dim: 0 dim: -1 dim: 8 } }"),
        "Reshape",
    )


REFUSALS = {
    "reshape in place": (layer("Reshape", "reshape_param { shape { dim: 240 } }", tops="x"), "in-place"),
    "reshape to another count": (layer("Reshape", "reshape_param { shape { dim: 7 } }"), "output count must match"),
    "reshape that leaves no whole": (layer("Reshape", "reshape_param { shape { dim: 7 dim: -1 } }"), r"240.*\(7\)"),
    "two left over": (layer("Reshape", "reshape_param { shape { dim: -1 dim: -1 } }"), "single dim of -1"),
    "a dim below -1": (layer("Reshape", "reshape_param { shape { dim: -2 dim: -120 } }"), r"found \[-2, -120\]"),
    "a size to keep that is not there": (
        layer("Reshape", "reshape_param { axis: 3 shape { dim: 5 dim: 0 } }"),
        "dim 1 is 0",
    ),
    "reshape from an axis too far": (layer("Reshape", "reshape_param { axis: 5 shape { dim: 1 } }"), "axis 5 out of"),
    "reshape of too many axes": (
        layer("Reshape", "reshape_param { axis: 2 num_axes: 3 shape { dim: 20 } }"),
        "num_axes 3 is out of range",
    ),
    "reshape of -2 axes": (layer("Reshape", "reshape_param { num_axes: -2 shape { dim: 240 } }"), "num_axes must be"),
}


@pytest.mark.parametrize(("layers", "message"), REFUSALS.values(), ids=REFUSALS.keys())
def test_what_caffe_refuses_is_refused(real_caffe, tmp_path, layers, message) -> None:
    refused(net_of(layers, x=SHAPE), message, tmp_path, real_caffe)
