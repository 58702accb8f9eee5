"""MVN against real Caffe: each channel and each image, the mean alone, fewer axes, and in place."""

import numpy as np
import pytest

from caffeformat import FormatError
from tests.helpers.both_engines import Both, net_of
from tests.helpers.layer_checks import order_of_values_is_caffes
from tests.helpers.layer_text import apart_and_in_place, between_layers, layer
from tests.helpers.refusals import refused

SETTINGS = ["", "across_channels: true", "eps: 0.5", "normalize_variance: false across_channels: true"]


@pytest.mark.parametrize("settings_", SETTINGS)
def test_mvn(real_caffe, tmp_path, figures, settings_) -> None:
    text = net_of(layer("MVN", f"mvn_param {{ {settings_} }}"), x=(3, 4, 2, 5))
    Both(real_caffe, text, tmp_path).agree(figures, "MVN")


@pytest.mark.parametrize("shape", [(3, 4, 6), (3, 8), (4,), (3, 1, 1, 6)], ids=str)
@pytest.mark.parametrize("across", ["true", "false"])
def test_other_axes(real_caffe, tmp_path, figures, shape, across) -> None:
    text = net_of(layer("MVN", f"mvn_param {{ across_channels: {across} }}"), x=shape)
    Both(real_caffe, text, tmp_path).agree(figures, "MVN")


def test_the_order_of_values_is_caffes_behind_a_convolution(real_caffe, tmp_path, figures) -> None:
    text = between_layers("MVN", "mvn_param { across_channels: true }")
    order_of_values_is_caffes(real_caffe, tmp_path, figures, text, "MVN")


@apart_and_in_place
def test_the_mean_in_place(real_caffe, tmp_path, figures, tops) -> None:
    text = net_of(layer("MVN", "mvn_param { normalize_variance: false }", tops=tops), x=(3, 4, 2, 5))
    Both(real_caffe, text, tmp_path).agree(figures, "MVN")


def test_the_values_of_a_normalized_variance_in_place(real_caffe, tmp_path, figures) -> None:
    Both(real_caffe, net_of(layer("MVN", tops="x"), x=(3, 4, 2, 5)), tmp_path, backward=False).agree(figures, "MVN")


def test_its_gradient_in_place_is_refused_for_caffes_is_wrong(real_caffe, tmp_path) -> None:
    x = np.arange(4)
    right, wrong = (
        Both(
            real_caffe,
            net_of(layer("MVN", tops=tops), x=(1, 1, 2, 2)),
            tmp_path,
            backward=tops == "y",
            x=x.reshape(1, 1, 2, 2),
        )
        for tops in ("y", "x")
    )
    path = tmp_path / "net.prototxt"
    caffes = real_caffe.run(
        'net = caffe.Net(given["path"], 1); net.blobs["x"].data[...] = given["x"]; net.forward()\n'
        'net.blobs["x"].diff[...] = given["diff"]; net.backward(); out["diff"] = net.blobs["x"].diff',
        path=str(path),
        x=right.right["data x"],
        diff=right.right["diff y"],
    )
    assert np.abs(caffes["diff"] - right.right["diff x"]).max() > 0.1
    with pytest.raises(FormatError, match=r"layer 'it'.*has no gradient in place"):
        wrong.net.backward(x=np.ones((1, 1, 2, 2), np.float32))


REFUSALS = {
    "five axes": (net_of(layer("MVN"), x=(2, 1, 1, 1, 3)), "5 axes", True),
    "in place of fewer axes, where Caffe changes the bottom's shape": (
        net_of(layer("MVN", tops="x"), x=(2, 3)),
        "changes the shape",
        False,
    ),
}


@pytest.mark.parametrize(("text", "message", "by_caffe"), REFUSALS.values(), ids=REFUSALS.keys())
def test_refusals(real_caffe, tmp_path, text, message, by_caffe) -> None:
    refused(text, message, tmp_path, real_caffe if by_caffe else None)
