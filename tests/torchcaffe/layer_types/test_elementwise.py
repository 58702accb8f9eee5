"""Bias, Scale and Eltwise against real Caffe: where the second operand lies, what is learned, apart and in place."""

from pathlib import Path

import numpy as np
import pytest

import torchcaffe as caffe
from caffeformat import FormatError
from tests.helpers.both_engines import Both, net_of
from tests.helpers.layer_text import layer
from tests.helpers.real_caffe import RealCaffe
from tests.helpers.refusals import refused

PLACES = pytest.mark.parametrize("tops", ["y", "x"], ids=["apart", "in place"])
SHAPE = (2, 3, 4, 5)

LEARNED = {
    "a value a channel": "",
    "of one axis further on": "axis: 2",
    "counted from the end": "axis: -1",
    "of two axes": "axis: 1 num_axes: 2",
    "to the end": "axis: 1 num_axes: -1",
    "of the first axis": "axis: 0",
    "of the first two axes": "axis: 0 num_axes: 2",
    "of all axes": "axis: 0 num_axes: -1",
    "a single value": "num_axes: 0",
    "a single value, whatever the axis": "num_axes: 0 axis: 3",
}


@PLACES
@pytest.mark.parametrize("settings_", LEARNED.values(), ids=LEARNED.keys())
def test_learned_bias(real_caffe, tmp_path, figures, settings_, tops) -> None:
    text = net_of(layer("Bias", f"bias_param {{ {settings_} }}", tops=tops), x=SHAPE)
    Both(real_caffe, text, tmp_path).agree(figures, "Bias")


@PLACES
@pytest.mark.parametrize("bias", ["", "bias_term: true"], ids=["alone", "with a bias"])
@pytest.mark.parametrize("settings_", LEARNED.values(), ids=LEARNED.keys())
def test_learned_scale(real_caffe, tmp_path, figures, settings_, bias, tops) -> None:
    text = net_of(layer("Scale", f"scale_param {{ {settings_} {bias} }}", tops=tops), x=SHAPE)
    Both(real_caffe, text, tmp_path).agree(figures, "Scale")


SECOND = {
    "a value an image": ("axis: 0", (2,)),
    "a value a channel": ("", (3,)),
    "of two axes": ("axis: -2", (4, 5)),
    "of all axes": ("axis: 0", (2, 3, 4, 5)),
    "a single value, in one axis": ("axis: 0", (1,)),
    "a single value": ("axis: 2", ()),
}


@PLACES
@pytest.mark.parametrize("type_", ["Bias", "Scale", "Scale bias_term: true"])
@pytest.mark.parametrize(("settings_", "shape"), SECOND.values(), ids=SECOND.keys())
def test_an_operand_that_is_a_bottom(real_caffe, tmp_path, figures, type_, settings_, shape, tops) -> None:
    type_, _, bias = type_.partition(" ")
    first = (1, 3, 4, 5) if shape == (1,) else SHAPE
    text = net_of(layer(type_, f"{type_.lower()}_param {{ {settings_} {bias} }}", "x z", tops), x=first, z=shape)
    Both(real_caffe, text, tmp_path).agree(figures, type_)


@pytest.mark.parametrize("type_", ["Bias", "Scale"])
def test_gradients_of_parameters_add_up_over_passes(real_caffe, tmp_path, figures, type_) -> None:
    settings_ = f"{type_.lower()}_param {{ axis: 0 num_axes: -1 }}"
    both = Both(real_caffe, net_of(layer(type_, settings_), x=(2, 3)), tmp_path)
    diff = both.net.blobs["y"].diff.copy()
    both.net.backward()
    np.testing.assert_allclose(both.net.params["it"][0].diff, 2 * both.right["param diff it 0"], rtol=1e-6)
    np.testing.assert_array_equal(both.net.blobs["y"].diff, diff)


FILLED = {
    "Bias": "",
    "Bias filled": 'bias_param { filler { type: "gaussian" std: 1 } }',
    "Scale": "",
    "Scale filled": 'scale_param { filler { type: "uniform" min: 1 max: 2 } bias_term: true '
    'bias_filler { type: "gaussian" std: 1 } }',
}


@pytest.mark.parametrize("name", FILLED)
def test_parameters_begin_as_caffes(real_caffe: RealCaffe, tmp_path: Path, name: str) -> None:
    path = tmp_path / "net.prototxt"
    path.write_text(net_of(layer(name.split()[0], FILLED[name]), x=(2, 5)))
    program = """
caffe.set_random_seed(3)
for i, blob in enumerate(caffe.Net(given["path"], 1).params["it"]):
    out[str(i)] = blob.data
"""
    right = real_caffe.run(program, path=str(path))
    caffe.set_random_seed(3)
    found = caffe.Net(path, caffe.TEST).params["it"]
    assert [blob.data.tolist() for blob in found] == [right[key].tolist() for key in sorted(right)]


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
    "a bias past the end": (layer("Bias", "bias_param { axis: 3 num_axes: 2 }"), "num_axes 2 extends past"),
    "a scale past the end": (layer("Scale", "scale_param { axis: 2 num_axes: 3 }"), "num_axes 3 extends past"),
    "num_axes below -1": (layer("Scale", "scale_param { num_axes: -2 }"), "num_axes must be non-negative.*found -2"),
    "an axis that is not there": (layer("Bias", "bias_param { axis: 4 }"), "axis 4"),
    "an operand of another size": (layer("Scale", "scale_param { axis: 0 }", "x z"), "dimension mismatch"),
    "an operand past the end": (layer("Bias", "bias_param { axis: 3 }", "x z"), "dimension mismatch"),
    "a bias behind such an operand": (layer("Scale", "scale_param { bias_term: true }", "x z"), "dimension mismatch"),
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
