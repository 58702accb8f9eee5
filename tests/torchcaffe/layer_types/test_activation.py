"""Activations and powers against real Caffe, apart and in place."""

from pathlib import Path

import numpy as np
import pytest

import torchcaffe as caffe
from caffeformat import FormatError
from tests.helpers.both_engines import Both, Figures, net_of
from tests.helpers.layer_text import layer
from tests.helpers.real_caffe import RealCaffe
from tests.helpers.refusals import refused

PLACES = pytest.mark.parametrize("tops", ["y", "x"], ids=["apart", "in place"])
SHAPES = pytest.mark.parametrize("shape", [(2, 3, 4, 5), (7,), (3, 4)], ids=str)

ACTIVATIONS = {
    "Sigmoid": ("Sigmoid", ""),
    "TanH": ("TanH", ""),
    "BNLL": ("BNLL", ""),
    "ELU": ("ELU", ""),
    "ELU of another alpha": ("ELU", "elu_param { alpha: 0.3 }"),
    "ELU of a negative alpha": ("ELU", "elu_param { alpha: -0.5 }"),
}


@PLACES
@SHAPES
@pytest.mark.parametrize(("type_", "settings_"), ACTIVATIONS.values(), ids=ACTIVATIONS.keys())
def test_activation(real_caffe, tmp_path, figures, type_, settings_, shape, tops) -> None:
    Both(real_caffe, net_of(layer(type_, settings_, tops=tops), x=shape), tmp_path).agree(figures, type_)


@pytest.mark.parametrize(("type_", "settings_"), ACTIVATIONS.values(), ids=ACTIVATIONS.keys())
def test_activation_far_from_zero_and_at_zero(real_caffe, tmp_path, figures, type_, settings_) -> None:
    for x in ([-80, -30, -1, 0, 0, 1], [-60, 25, 60, 80, 0, -1]):
        Both(real_caffe, net_of(layer(type_, settings_), x=(6,)), tmp_path, x=np.array(x)).agree(figures, type_)


@SHAPES
def test_absval(real_caffe: RealCaffe, tmp_path: Path, figures: Figures, shape: tuple[int, ...]) -> None:
    x = np.random.default_rng(1).integers(-2, 3, shape)  # zeros too, where the gradient is 0
    Both(real_caffe, net_of(layer("AbsVal"), x=shape), tmp_path, x=x).agree(figures, "AbsVal")


POWERS = {
    "the identity": "",
    "a line": "scale: -1.5 shift: 0.25",
    "a square": "power: 2",
    "a square of a line": "power: 2 scale: 0.5 shift: -1",
    "a cube": "power: 3",
    "a cube of a line": "power: 3 scale: -2 shift: 0.5",
    "one over": "power: -1 scale: 2",
    "the power 0": "power: 0 scale: 2 shift: 1",
    "the scale 0": "power: 2 scale: 0 shift: 3",
    "nothing but 0": "power: 0 scale: 0",
}


@PLACES
@pytest.mark.parametrize("settings_", POWERS.values(), ids=POWERS.keys())
def test_power(real_caffe, tmp_path, figures, settings_, tops) -> None:
    text = net_of(layer("Power", f"power_param {{ {settings_} }}", tops=tops), x=(2, 3, 4, 5))
    Both(real_caffe, text, tmp_path, backward=tops == "y").agree(figures, "Power")


@PLACES
@pytest.mark.parametrize("settings_", ["power: 0.5", "power: 2.5 scale: 3 shift: 0.1", "power: -0.3 shift: 2"])
def test_broken_power_of_positive_numbers(real_caffe, tmp_path, figures, settings_, tops) -> None:
    x = np.random.default_rng(2).uniform(0.1, 3, (3, 4, 2))
    text = net_of(layer("Power", f"power_param {{ {settings_} }}", tops=tops), x=x.shape)
    Both(real_caffe, text, tmp_path, backward=tops == "y", x=x).agree(figures, "Power")


def test_the_gradient_of_a_power_at_zero_is_nan_as_in_caffe(real_caffe: RealCaffe, tmp_path: Path) -> None:
    both = Both(real_caffe, net_of(layer("Power", "power_param { power: 3 }"), x=(2,)), tmp_path, x=np.array([0, 2]))
    for side in (both.found, both.right):
        assert np.isnan(side["diff x"]).tolist() == [True, False]


@pytest.mark.parametrize("type_", ["Power", "Log"])
def test_a_gradient_in_place_where_caffes_forgets_what_came_from_above_is_refused(real_caffe, tmp_path, type_) -> None:
    text = net_of(layer(type_, f"{type_.lower()}_param {{ scale: 3 }}", tops="x"), x=(1,))
    path = tmp_path / "net.prototxt"
    path.write_text(text)
    program = """
net = caffe.Net(given["path"], 1)
for diff in (1, 100):
    net.blobs["x"].data[...] = 2
    net.forward()
    net.blobs["x"].diff[...] = diff
    net.backward()
    out[str(diff)] = net.blobs["x"].diff.copy()
"""
    right = real_caffe.run(program, path=str(path))
    assert right["1"] == right["100"]
    net = caffe.Net(path, caffe.TEST)
    net.blobs["x"].data = np.full(1, 2, np.float32)
    net.forward()
    with pytest.raises(FormatError, match=r"layer 'it'.*has no gradient in place"):
        net.backward(x=np.ones(1, np.float32))


@PLACES
@pytest.mark.parametrize(
    "settings_", ["", "base: 2", "base: 0.5 scale: 2 shift: -1", "scale: -0.5 shift: 1", "base: 1"]
)
def test_exp(real_caffe, tmp_path, figures, settings_, tops) -> None:
    text = net_of(layer("Exp", f"exp_param {{ {settings_} }}", tops=tops), x=(2, 3, 4, 5))
    Both(real_caffe, text, tmp_path).agree(figures, "Exp")


@PLACES
@pytest.mark.parametrize("settings_", ["", "base: 2", "base: 0.5 scale: 2 shift: 7", "scale: 3 shift: 1"])
def test_log(real_caffe, tmp_path, figures, settings_, tops) -> None:
    x = np.random.default_rng(2).uniform(1.5, 4, (2, 3, 4, 5))
    text = net_of(layer("Log", f"log_param {{ {settings_} }}", tops=tops), x=x.shape)
    Both(real_caffe, text, tmp_path, backward=tops == "y", x=x).agree(figures, "Log")


@PLACES
@pytest.mark.parametrize("shape", [(2, 3, 4, 5), (4, 3), (2, 3, 7)], ids=str)
@pytest.mark.parametrize("settings_", ["", "channel_shared: true"], ids=["a slope a channel", "one slope"])
def test_prelu(real_caffe, tmp_path, figures, settings_, shape, tops) -> None:
    text = net_of(layer("PReLU", f"prelu_param {{ {settings_} }}", tops=tops), x=shape)
    Both(real_caffe, text, tmp_path).agree(figures, "PReLU")


def test_prelu_gives_a_gradient_of_slope_at_zero(real_caffe: RealCaffe, tmp_path: Path, figures: Figures) -> None:
    x = np.random.default_rng(1).integers(-1, 2, (3, 4, 5))
    Both(real_caffe, net_of(layer("PReLU"), x=x.shape), tmp_path, x=x).agree(figures, "PReLU")


@pytest.mark.parametrize("settings_", ["", 'prelu_param { filler { type: "gaussian" std: 0.1 } }'])
def test_prelus_slopes_begin_as_caffes(real_caffe: RealCaffe, tmp_path: Path, settings_: str) -> None:
    path = tmp_path / "net.prototxt"
    path.write_text(net_of(layer("PReLU", settings_), x=(2, 5)))
    program = """
caffe.set_random_seed(3)
out["slopes"] = caffe.Net(given["path"], 1).params["it"][0].data
"""
    right = real_caffe.run(program, path=str(path))["slopes"]
    caffe.set_random_seed(3)
    assert caffe.Net(path, 1).params["it"][0].data.tolist() == right.tolist()


REFUSALS = {
    "AbsVal in place": (layer("AbsVal", tops="x"), "in-place"),
    "Exp of base 0": (layer("Exp", "exp_param { base: 0 }"), "base must be strictly positive.*found 0"),
    "Exp of base -2": (layer("Exp", "exp_param { base: -2 }"), "base must be strictly positive"),
    "Exp of base inf": (layer("Exp", "exp_param { base: inf }"), "base must be strictly positive.*inf"),
    "Log of base -2": (layer("Log", "log_param { base: -2 }"), "base must be strictly positive"),
    "Log of base 1": (layer("Log", "log_param { base: 1 }"), "base: 1 has no logarithms"),
    "two bottoms": (layer("Sigmoid", bottoms="x z"), "2 bottom blobs"),
    "two tops": (layer("TanH", tops="y z"), "2 top blobs"),
    "PReLU of a vector": (layer("PReLU", bottoms="z"), "1 axes"),
}


@pytest.mark.parametrize(("layers", "message"), REFUSALS.values(), ids=REFUSALS.keys())
def test_what_caffe_refuses_is_refused(real_caffe, tmp_path, layers, message) -> None:
    inputs = {"x": (2, 3), "z": (4,)}
    if "z" not in layers.split("bottom", 1)[1].split("top", 1)[0]:
        del inputs["z"]
    refused(net_of(layers, **inputs), message, tmp_path, real_caffe)
