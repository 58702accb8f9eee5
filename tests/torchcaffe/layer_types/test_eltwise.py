"""Eltwise against real Caffe: sums, products and maxima."""

import numpy as np
import pytest

import torchcaffe as caffe
from caffeformat import FormatError
from tests.helpers.both_engines import Both, net_of
from tests.helpers.layer_text import layer
from tests.helpers.refusals import refused

SHAPE = (2, 3, 4, 5)

ELTWISE = {
    "sum": "",
    "weighted sum": "coeff: 1 coeff: -0.5 coeff: 2.5",
    "product": "operation: PROD",
    "product, by division": "operation: PROD stable_prod_grad: false",
    "largest": "operation: MAX",
    "largest, with coefficients that are not used": "operation: MAX coeff: 2 coeff: 3 coeff: 4",
}


@pytest.mark.parametrize("bottoms", ["x z", "x z w"], ids=["two", "three"])
@pytest.mark.parametrize("settings_", ELTWISE.values(), ids=ELTWISE.keys())
def test_eltwise(real_caffe, tmp_path, figures, settings_, bottoms) -> None:
    if bottoms == "x z" and "coeff" in settings_:
        settings_ = settings_.rsplit("coeff", 1)[0]
    inputs = dict.fromkeys(bottoms.split(), SHAPE)
    text = net_of(layer("Eltwise", f"eltwise_param {{ {settings_} }}", bottoms), **inputs)
    Both(real_caffe, text, tmp_path).agree(figures, "Eltwise")


def test_among_equals_eltwise_takes_caffes_choice(real_caffe, tmp_path, figures) -> None:
    random = np.random.default_rng(0)
    inputs = {name: random.integers(0, 2, (4, 5)) for name in "xzw"}
    text = net_of(layer("Eltwise", "eltwise_param { operation: MAX }", "x z w"), **dict.fromkeys("xzw", (4, 5)))
    Both(real_caffe, text, tmp_path, **inputs).agree(figures, "Eltwise")


def test_a_blob_is_added_to_itself(real_caffe, tmp_path, figures) -> None:
    text = net_of(layer("Eltwise", "eltwise_param { coeff: 1 coeff: 3 }", "x x"), x=SHAPE)
    Both(real_caffe, text, tmp_path).agree(figures, "Eltwise")


def test_eltwise_in_place_forgets_a_bottom_in_caffe_and_is_refused(real_caffe, tmp_path) -> None:
    path = tmp_path / "net.prototxt"
    path.write_text(net_of(layer("Eltwise", "", "x z", "x"), x=(1,), z=(1,)))
    program = """
net = caffe.Net(given["path"], 1)
net.blobs["x"].data[...], net.blobs["z"].data[...] = 5, 3
net.forward()
out["sum"] = net.blobs["x"].data
"""
    assert real_caffe.run(program, path=str(path))["sum"] == 3
    with pytest.raises(FormatError, match=r"layer 'it'.*in-place"):
        caffe.Net(path, caffe.TEST)


REFUSALS = {
    "one bottom": (layer("Eltwise"), "1 bottom blobs; the type takes at least 2"),
    "unequal shapes": (layer("Eltwise", "", "x z"), "unequal shapes: 'x'.*'z'"),
    "too few coefficients": (layer("Eltwise", "eltwise_param { coeff: 1 }", "x x"), "one coeff per bottom blob"),
    "coefficients of a product": (
        layer("Eltwise", "eltwise_param { operation: PROD coeff: 1 coeff: 2 }", "x x"),
        "only takes coeff for operation: SUM",
    ),
}


@pytest.mark.parametrize(("layers", "message"), REFUSALS.values(), ids=REFUSALS.keys())
def test_what_caffe_refuses_is_refused(real_caffe, tmp_path, layers, message) -> None:
    refused(net_of(layers, x=SHAPE, z=(4, 5)), message, tmp_path, real_caffe)
