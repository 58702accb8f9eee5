"""SPP against real Caffe: pyramids of maxima and means, and images of another size."""

import numpy as np
import pytest

import torchcaffe as caffe
from tests.helpers.both_engines import Both, net_of
from tests.helpers.layer_checks import order_of_values_is_caffes
from tests.helpers.layer_text import between_layers, layer
from tests.helpers.refusals import refused


@pytest.mark.parametrize("pool", ["MAX", "AVE"])
@pytest.mark.parametrize("height", [1, 2, 3])
@pytest.mark.parametrize("shape", [(2, 3, 8, 7), (3, 2, 12, 9)], ids=str)
def test_spp(real_caffe, tmp_path, figures, pool, height, shape) -> None:
    text = net_of(layer("SPP", f"spp_param {{ pool: {pool} pyramid_height: {height} }}"), x=shape)
    Both(real_caffe, text, tmp_path).agree(figures, "SPP")


def test_the_order_of_values_is_caffes_behind_a_convolution(real_caffe, tmp_path, figures) -> None:
    text = between_layers("SPP", "spp_param { pyramid_height: 2 }")
    order_of_values_is_caffes(real_caffe, tmp_path, figures, text, "SPP")


RESHAPED = """
net = caffe.Net(given["path"], 1)
net.blobs["x"].reshape(*given["x"].shape)
net.reshape()
net.blobs["x"].data[...] = given["x"]
net.forward()
net.blobs["y"].diff[...] = given["diff"]
net.backward()
out["y"], out["diff x"] = net.blobs["y"].data, net.blobs["x"].diff
"""


def test_images_of_another_size_give_as_many_values(real_caffe, tmp_path, figures) -> None:
    path, random = tmp_path / "net.prototxt", np.random.default_rng(1)
    path.write_text(net_of(layer("SPP", "spp_param { pyramid_height: 3 }"), x=(2, 3, 8, 8)))
    net = caffe.Net(path, caffe.TEST)
    for shape in ((2, 3, 11, 16), (3, 3, 11, 16)):
        x = random.standard_normal(shape).astype(np.float32)
        diff = random.standard_normal((shape[0], 63)).astype(np.float32)
        right = real_caffe.run(RESHAPED, path=str(path), x=x, diff=diff)
        net.blobs["x"].reshape(*shape)
        net.reshape()
        net.blobs["x"].data = x
        net.forward()
        net.backward(y=diff)
        figures.note_arrays("SPP: outputs", net.blobs["y"].data, right["y"], 1e-5)
        figures.note_arrays("SPP: bottom gradients", net.blobs["x"].diff, right["diff x"], 1e-5)


REFUSALS = {
    "no height": (layer("SPP"), "pyramid_height is not given, or 0"),
    "more bins than pixels": (
        layer("SPP", "spp_param { pyramid_height: 4 }"),
        "level 3 has 8 x 8 bins, too many",
    ),
    "vectors": (layer("SPP", "spp_param { pyramid_height: 2 }", "v"), "4 are needed"),
}


@pytest.mark.parametrize(("layers", "message"), REFUSALS.values(), ids=REFUSALS.keys())
def test_what_caffe_refuses_is_refused(real_caffe, tmp_path, layers, message) -> None:
    refused(net_of(layers, x=(2, 3, 6, 6), v=(2, 3)), message, tmp_path, real_caffe)


def test_in_place_is_refused(tmp_path) -> None:
    refused(
        net_of(layer("SPP", "spp_param { pyramid_height: 2 }", tops="x"), x=(2, 3, 6, 6)), "in-place", tmp_path, None
    )
