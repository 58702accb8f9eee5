"""Filter against real Caffe, in passes that select another number of images each."""

from pathlib import Path

import numpy as np
import pytest

import torchcaffe as caffe
from caffeformat import FormatError
from tests.helpers.both_engines import REAL, Figures, net_of
from tests.helpers.layer_text import layer
from tests.helpers.real_caffe import CaffeAborted, RealCaffe
from tests.helpers.refusals import refused

DOWN = "propagate_down: true propagate_down: true propagate_down: false"
# Two bottoms with a gradient behind a convolution and an inner product; a net above; a selector.
NET = (
    layer("Convolution", "convolution_param { num_output: 3 kernel_size: 2 }", tops="a", name="conv")
    + layer("InnerProduct", "inner_product_param { num_output: 3 }", tops="b", name="below")
    + layer("Filter", DOWN, "a b s", "y z")
    + layer("InnerProduct", "inner_product_param { num_output: 3 }", "y", "ip", "above")
    + layer("EuclideanLoss", "", "ip z", "loss", "loss")
)
SELECTORS = [[1, 0, 0.5, -1, 0], [0, 0, 0, 2, 0], [1, 1, 1, 1, 1], [1, 0, 0, 0, 1]]
PASSES = """
net = caffe.Net(given["path"], 0)
out["shape before"] = net.blobs["y"].data.shape
for name, blobs in net.params.items():
    for i, blob in enumerate(blobs):
        blob.data[...] = given[f"{name} {i}"]
net.blobs["x"].data[...] = given["x"]
for i, selector in enumerate(given["selectors"]):
    net.blobs["s"].data.flat = selector
    for blobs in net.params.values():
        for blob in blobs:
            blob.diff[...] = 0
    net.forward()
    net.backward()
    for name, blob in net.blobs.items():
        if name != "s":
            out[f"data {i} {name}"], out[f"diff {i} {name}"] = blob.data.copy(), blob.diff.copy()
    for name, blobs in net.params.items():
        for j, blob in enumerate(blobs):
            out[f"param {i} {name} {j}"] = blob.diff.copy()
"""


@pytest.mark.parametrize("selector", [(5,), (5, 1, 1)], ids=str)
def test_filter(real_caffe: RealCaffe, tmp_path: Path, figures: Figures, selector: tuple[int, ...]) -> None:
    path = tmp_path / "net.prototxt"
    path.write_text(net_of(NET, x=(5, 2, 3, 4), s=selector).removeprefix("force_backward: true\n"))
    net, random = caffe.Net(path, caffe.TRAIN), np.random.default_rng(1)
    given = {"x": random.standard_normal((5, 2, 3, 4)).astype(np.float32), "selectors": np.array(SELECTORS)}
    for name, blobs in net.params.items():
        for index, blob in enumerate(blobs):
            blob.data = given[f"{name} {index}"] = random.standard_normal(blob.shape).astype(np.float32)
    right = real_caffe.run(PASSES, path=str(path), **given)
    assert net.blobs["y"].shape == tuple(right["shape before"])
    net.blobs["x"].data = given["x"]
    for i, values in enumerate(SELECTORS):
        net.blobs["s"].data = np.reshape(values, selector)
        net.clear_param_diffs()
        net.forward()
        net.backward()
        for name, blob in net.blobs.items():
            if name != "s":
                figures.note_arrays("Filter: outputs", blob.data, right[f"data {i} {name}"], 1e-5)
                figures.note_arrays("Filter: bottom gradients", blob.diff, right[f"diff {i} {name}"], 1e-5)
        for name, blobs in net.params.items():
            for j, blob in enumerate(blobs):
                figures.note_arrays("Filter: parameter gradients", blob.diff, right[f"param {i} {name} {j}"], 1e-5)


def test_a_batch_of_which_nothing_is_selected_is_refused_by_the_loss_where_caffe_divides_by_0(tmp_path) -> None:
    path = tmp_path / "net.prototxt"
    path.write_text(net_of(NET, x=(5, 2, 3, 4), s=(5,)).removeprefix("force_backward: true\n"))
    net = caffe.Net(path, caffe.TRAIN)
    with pytest.raises(FormatError, match=r"layer 'loss'.*'ip' has no values: its shape is \(0, 3\)"):
        net.forward()


NOTHING = """
net = caffe.Net(given["path"], 1)
net.blobs["s"].data[...] = 0
net.forward()
out["sum"], out["shape"] = net.blobs["sum"].data, net.blobs["which"].data.shape
"""


def test_nothing_that_is_selected_sums_to_0_and_has_no_largest_value(real_caffe: RealCaffe, tmp_path: Path) -> None:
    path = tmp_path / "net.prototxt"
    above = layer("Reduction", "", "y", "sum", "sum") + layer("ArgMax", "", "y", "which", "which")
    path.write_text(net_of(layer("Filter", "", "x s", "y", "it") + above, x=(5, 2, 3), s=(5,)))
    right = real_caffe.run(NOTHING, path=str(path))
    net = caffe.Net(path, caffe.TEST)
    net.blobs["s"].data = np.zeros(5)
    net.forward()
    assert float(net.blobs["sum"].data) == float(right["sum"]) == 0
    assert net.blobs["which"].data.shape == tuple(right["shape"])


def test_a_gradient_of_the_selector_is_refused_by_both(real_caffe, tmp_path) -> None:
    path = tmp_path / "net.prototxt"
    path.write_text(net_of(layer("Filter", "", "x s"), x=(4, 3), s=(4,)))
    net = caffe.Net(path, caffe.TEST)
    net.forward()
    with pytest.raises(FormatError, match=r"layer 'it'.*cannot backpropagate to filter index"):
        net.backward()
    with pytest.raises(CaffeAborted):
        real_caffe.run(REAL, path=str(path), phase=1, seed=1, backward=True)


REFUSALS = {
    "too few tops": (layer("Filter", "", "x z s"), "3 bottoms, the last is the selector, but 1 tops"),
    "too many tops": (layer("Filter", "", "x s", "y w"), "2 bottoms, the last is the selector, but 2 tops"),
    "a selector of vectors": (layer("Filter", "", "x z"), r"except the first; found \(4, 3\)"),
    "a selector of another batch": (layer("Filter", "", "x t"), "has not the 5 images of the selector"),
}


@pytest.mark.parametrize(("layers", "message"), REFUSALS.values(), ids=REFUSALS.keys())
def test_what_caffe_refuses_is_refused(real_caffe, tmp_path, layers, message) -> None:
    refused(net_of(layers, x=(4, 3), z=(4, 3), s=(4,), t=(5,)), message, tmp_path, real_caffe)


def test_in_place_is_refused_where_caffe_shrinks_the_bottom(tmp_path) -> None:
    refused(net_of(layer("Filter", "", "x s", "x"), x=(4, 3), s=(4,)), "in-place", tmp_path, None)
