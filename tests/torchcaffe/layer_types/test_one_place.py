"""Convolution whose kernel meets the whole map at one place, against real Caffe."""

import numpy as np
import pytest
import torch

import torchcaffe as caffe
from tests.helpers.both_engines import Both, net_of
from tests.helpers.layer_text import FILLERS, layer
from torchcaffe.layer_types.one_place import OnePlace, is_faster

PROGRAM = """
net = caffe.Net(given["path"], caffe.TRAIN)
w = net.params["it"][0]
for which in ("diff", "data", "both"):
    held = [w.diff] if which == "diff" else [w.data] if which == "data" else [w.data, w.diff]
    w.data[...] = given["w"]
    w.diff[...] = 0
    net.blobs["x"].data[...] = given["x"]
    net.forward()
    net.blobs["y"].diff[...] = 1 + np.arange(30).reshape(5, 6, 1, 1)
    net.backward()
    out["y " + which], out["w " + which], out["x " + which] = [
        np.array(a) for a in (net.blobs["y"].data, w.diff, net.blobs["x"].diff)]
    del held
"""
SHARED = """
caffe.set_mode_cpu()
caffe.set_random_seed(3)
net = caffe.Net(given["path"], caffe.TRAIN)
for name in "xz":
    net.blobs[name].data[...] = given[name]
net.forward()
for i, name in enumerate(("ya", "yb")):
    net.blobs[name].diff[...] = 1 + np.arange(6).reshape(2, 3, 1, 1) + i
net.backward()
out["w"] = net.params["a"][0].diff
for name in ("x", "z"):
    out[name] = net.blobs[name].diff
"""


@pytest.mark.parametrize(
    ("channels", "kernel"),
    [(16, (3, 3)), (7, (1, 1)), (2, (3, 5)), (1, (4, 2)), (40, (1, 6))],
    ids=str,
)
def test_convolution_at_one_place(real_caffe, tmp_path, figures, monkeypatch, channels, kernel) -> None:
    """Two bottoms, so that the second one's gradients are added to the first one's."""
    passes: list[str] = []
    for name in ("forward", "backward", "add_weight_gradient"):
        monkeypatch.setattr(OnePlace, name, _noted(getattr(OnePlace, name), passes))
    height, width = kernel
    settings = f"num_output: 6 kernel_h: {height} kernel_w: {width} stride: 2 {FILLERS}"
    shape = (9, channels, *kernel)
    text = net_of(layer("Convolution", f"convolution_param {{ {settings} }}", "x z", "y w"), x=shape, z=shape)
    Both(real_caffe, text, tmp_path).agree(figures, "Convolution")
    assert {"forward", "backward", "add_weight_gradient"} <= set(passes)


def test_weights_and_updates_that_a_script_holds(real_caffe, tmp_path) -> None:
    """An array puts weights and gradients into Caffe's order in memory, each by itself."""
    settings = f"convolution_param {{ num_output: 6 kernel_size: 3 {FILLERS} }}"
    text = net_of(layer("Convolution", settings, "x", "y"), x=(5, 7, 3, 3))
    (tmp_path / "net.prototxt").write_text(text)
    random = np.random.default_rng(3)
    given = {"w": random.normal(size=(6, 7, 3, 3)), "x": random.normal(size=(5, 7, 3, 3))}
    right = real_caffe.run(PROGRAM, path=str(tmp_path / "net.prototxt"), **given)
    found = _run(PROGRAM, path=str(tmp_path / "net.prototxt"), **given)
    for name in right:
        np.testing.assert_allclose(found[name], right[name], rtol=1e-5, atol=1e-5, err_msg=name)


@pytest.mark.parametrize(("owner", "sharer"), [((4, 3, 1), (2, 2, 3)), ((8, 3, 1), (2, 4, 3)), ((10, 5, 1), (2, 5, 5))])
def test_weights_that_are_shared_in_another_shape(real_caffe, tmp_path, owner, sharer) -> None:
    """Seen in the sharer's shape, the owner's weights have an order in memory that is neither of the usual two, until a
    script takes an array of them."""
    text = net_of(_permissive("a", "x", owner) + _permissive("b", "z", sharer), x=(2, *owner), z=(2, *sharer))
    (tmp_path / "net.prototxt").write_text(text)
    random = np.random.default_rng(2)
    given = {name: random.normal(size=(2, *shape)) for name, shape in (("x", owner), ("z", sharer))}
    right = real_caffe.run(SHARED, path=str(tmp_path / "net.prototxt"), **given)
    found = _run(SHARED, path=str(tmp_path / "net.prototxt"), **given)
    for name in right:
        np.testing.assert_allclose(found[name], right[name], rtol=1e-5, atol=1e-5, err_msg=name)


def _permissive(name: str, bottom: str, kernel: tuple[int, int, int]) -> str:
    shared = 'param { name: "w" share_mode: PERMISSIVE }'
    settings = f"num_output: 3 kernel_h: {kernel[1]} kernel_w: {kernel[2]} bias_term: false {FILLERS}"
    return layer("Convolution", f"{shared} convolution_param {{ {settings} }}", bottom, f"y{name}", name)


def test_a_batch_without_images_and_one_with_some_again(tmp_path) -> None:
    path = tmp_path / "net.prototxt"
    settings = f"convolution_param {{ num_output: 2 kernel_size: 3 {FILLERS} }}"
    path.write_text(net_of(layer("Convolution", settings), x=(4, 3, 3, 3)))
    net = caffe.Net(path, caffe.TRAIN)
    values = np.random.default_rng(1).normal(size=(4, 3, 3, 3))
    first = net.forward(x=values)["y"].copy()
    for count in (0, 4):
        net.blobs["x"].reshape(count, 3, 3, 3)
        net.reshape()
        net.blobs["x"].data[...] = values[:count]
        net.forward()
        assert net.blobs["y"].data.shape == (count, 2, 1, 1)
        net.backward()
    np.testing.assert_array_equal(net.blobs["y"].data, first)


@pytest.mark.parametrize(
    ("images", "outputs", "kernel", "faster"),
    [(1, 4, 3, False), (2, 4, 3, True), (1, 1000, 11, True), (7, 4, 1, False), (8, 4, 1, True), (2561, 4, 3, False)],
)
def test_where_it_is_faster(images: int, outputs: int, kernel: int, faster: bool) -> None:
    geometry = [1, 1], [0, 0], [1, 1], False, [0, 0], 1
    x, weight = torch.empty(images, 10, kernel, kernel), torch.empty(outputs, 10, kernel, kernel)
    assert is_faster(x, weight, geometry) == faster


def _run(program: str, **given: object) -> dict[str, np.ndarray]:
    found: dict[str, np.ndarray] = {}
    exec(program, {"caffe": caffe, "np": np, "given": given, "out": found})
    return found


def _noted(method, passes: list[str]):
    def call(*arguments):
        passes.append(method.__name__)
        return method(*arguments)

    return call
