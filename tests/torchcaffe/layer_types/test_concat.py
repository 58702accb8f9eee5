"""Concat against real Caffe, bit for bit."""

import pytest

from tests.helpers.both_engines import Both, net_of
from tests.helpers.layer_checks import order_of_values_is_caffes
from tests.helpers.layer_text import between_layers, layer
from tests.helpers.refusals import refused

SHAPE = (2, 6, 4, 5)


@pytest.mark.parametrize(("settings_", "axis"), [("", 1), ("axis: 0", 0), ("axis: -1", 3), ("concat_dim: 2", 2)])
@pytest.mark.parametrize("count", [1, 2, 3])
def test_concat(real_caffe, tmp_path, figures, settings_, axis, count) -> None:
    shapes = {name: (*SHAPE[:axis], size, *SHAPE[axis + 1 :]) for name, size in zip("xzw", (3, 1, 2), strict=True)}
    shapes = dict(list(shapes.items())[:count])
    text = net_of(layer("Concat", f"concat_param {{ {settings_} }}", " ".join(shapes)), **shapes)
    Both(real_caffe, text, tmp_path).agree(figures, "Concat", tolerance=0)


def test_concat_of_a_blob_with_itself_sums_its_gradients(real_caffe, tmp_path, figures) -> None:
    Both(real_caffe, net_of(layer("Concat", "", "x x"), x=SHAPE), tmp_path).agree(figures, "Concat", tolerance=0)


def test_the_order_of_values_is_caffes_behind_a_convolution(real_caffe, tmp_path, figures) -> None:
    order_of_values_is_caffes(real_caffe, tmp_path, figures, between_layers("Concat"), "Concat")


REFUSALS = {
    "concat of unequal sizes": (layer("Concat", "", "x z"), "same shape, except along axis 1: 'x'.*'z'"),
    "concat of unequal axes": (layer("Concat", "", "x v"), "same shape, except along axis 1"),
    "concat along two": (layer("Concat", "concat_param { axis: 1 concat_dim: 1 }", "x x"), "not both"),
    "concat along an old axis too far": (layer("Concat", "concat_param { concat_dim: 4 }", "x x"), "concat_dim 4 out"),
    "concat along an axis too far": (layer("Concat", "concat_param { axis: 4 }", "x x"), "axis 4"),
}


@pytest.mark.parametrize(("layers", "message"), REFUSALS.values(), ids=REFUSALS.keys())
def test_what_caffe_refuses_is_refused(real_caffe, tmp_path, layers, message) -> None:
    refused(net_of(layers, x=SHAPE, z=(2, 3, 2, 2), v=(3,)), message, tmp_path, real_caffe)
