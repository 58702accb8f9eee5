"""LSTM and RNN over all timesteps at once: as exact as their unrolled net, and as real Caffe does it."""

from pathlib import Path

import numpy as np
import pytest
import torch

import torchcaffe
from tests.helpers.both_engines import Both, distance, net_of
from tests.helpers.layer_text import FILLERS, layer
from tests.helpers.real_caffe import Arrays
from torchcaffe.common import context

TYPES = pytest.mark.parametrize("type_", ["LSTM", "RNN"])
T, N, INPUTS, D = 7, 6, 9, 8  # with weights as large as these, 20 outputs make a chaos in which roundings grow
LAYER_BY_LAYER = "debug_info: true"
CONTS = {
    "all go on": np.ones((T, N)),
    "all begin": np.zeros((T, N)),
    "all begin at once": np.repeat([0, 1, 1, 1, 0, 1, 1], N).reshape(T, N),
    "here and there": np.random.default_rng(5).integers(0, 2, (T, N)),
    "in part": np.full((T, N), 0.5),
}


def net(type_: str, more: str = "", static: bool = False) -> str:
    inputs = {"x": (T, N, INPUTS), "cont": (T, N)} | ({"static": (N, 3)} if static else {})
    settings = f"recurrent_param {{ num_output: {D} {FILLERS} {more} }}"
    return net_of(layer(type_, settings, " ".join(inputs), "y"), **inputs)


@TYPES
@pytest.mark.parametrize("more", ["", LAYER_BY_LAYER], ids=["at once", "layer by layer"])
@pytest.mark.parametrize("cont", CONTS.values(), ids=CONTS.keys())
def test_both_ways_agree_with_caffe(real_caffe, tmp_path, figures, type_, more, cont) -> None:
    Both(real_caffe, net(type_, more, static=True), tmp_path, cont=cont).agree(figures, type_)


def passes(path: Path, changes: list[int], inputs: Arrays) -> Arrays:
    """Two passes of each number of streams in `changes`, there and back; the blobs after the last one."""
    torchcaffe.set_random_seed(3)
    made = torchcaffe.Net(path, torchcaffe.TEST)
    for streams in changes:
        for name, array in inputs.items():
            made.blobs[name].reshape(*(streams if size == N else size for size in array.shape))
            made.blobs[name].data[...] = array[:, :streams] if array.shape[0] == T else array[:streams]
        for _ in range(2):
            made.clear_param_diffs()
            made.forward()
            made.blobs["y"].diff[...] = np.cos(np.arange(made.blobs["y"].data.size)).reshape(made.blobs["y"].shape)
            made.backward()
    return {f"{name}.data": np.array(blob.data) for name, blob in made.blobs.items()} | {
        f"{name}.diff": np.array(blob.diff)
        for name, blob in [*made.blobs.items(), *((f"param {i}", blob) for i, blob in enumerate(made.params["it"]))]
    }


@TYPES
@pytest.mark.parametrize("changes", [[6], [6, 4], [2, 6]])
def test_with_other_numbers_of_streams_as_exact_as_the_unrolled_net(tmp_path, monkeypatch, type_, changes) -> None:
    random = np.random.default_rng(2)
    inputs = {"x": random.standard_normal((T, N, INPUTS)), "cont": CONTS["here and there"]}
    inputs |= {"static": random.standard_normal((N, 3))}
    path, found = tmp_path / "net.prototxt", []
    for more, dtype in (("", torch.float32), (LAYER_BY_LAYER, torch.float32), (LAYER_BY_LAYER, torch.float64)):
        path.write_text(net(type_, more, static=True))
        monkeypatch.setattr(context.current(), "dtype", dtype)
        found.append(passes(path, changes, inputs))
    at_once, layer_by_layer, exact = found
    for name, right in exact.items():
        assert right.dtype == np.float64
        assert right.any() or name == "cont.diff", name
        assert distance(at_once[name], right) < 1.5 * distance(layer_by_layer[name], right) + 1e-6, name


@TYPES
def test_what_a_script_does_to_the_output_changes_neither_the_gradient_nor_the_next_pass(tmp_path, type_) -> None:
    """The output has memory of its own, as that of Caffe's Concat."""
    path = tmp_path / "net.prototxt"
    path.write_text(net(type_))
    found = []
    for spoil in (False, True):
        torchcaffe.set_random_seed(3)
        made = torchcaffe.Net(path, torchcaffe.TEST)
        made.blobs["x"].data[...] = np.sin(np.arange(T * N * INPUTS)).reshape(T, N, INPUTS)
        made.blobs["cont"].data[...] = 1
        made.forward()
        if spoil:
            made.blobs["y"].data[...] = 7
        made.blobs["y"].diff[...] = 1
        made.backward()
        diff = np.array(made.blobs["x"].diff)
        found.append((diff, np.array(made.forward()["y"])))
    assert found[0][0].any()
    for plain, spoiled in zip(*found, strict=True):
        assert np.array_equal(plain, spoiled)


def test_a_backward_pass_before_any_forward_pass_is_that_of_the_unrolled_net(tmp_path) -> None:
    found = []
    for more in ("", LAYER_BY_LAYER):
        path = tmp_path / "net.prototxt"
        path.write_text(net("RNN", more))
        torchcaffe.set_random_seed(3)
        made = torchcaffe.Net(path, torchcaffe.TEST)
        made.blobs["y"].diff[...] = 1
        made.backward()
        found.append(np.array(made.blobs["x"].diff))
    assert found[0].any() and np.array_equal(*found)


@TYPES
@pytest.mark.filterwarnings("error")
def test_a_net_that_diverges_says_nothing_of_numpy(tmp_path, type_) -> None:
    path = tmp_path / "net.prototxt"
    path.write_text(net(type_))
    made = torchcaffe.Net(path, torchcaffe.TEST)
    for x, diff in ((0.1, 3e38), (0.1, np.inf), (np.nan, 1)):
        made.blobs["x"].data[...] = x
        made.blobs["cont"].data[...] = 1
        made.forward()
        made.blobs["y"].diff[...] = diff
        made.backward()
        assert not np.isfinite(made.params["it"][0].diff).any()
    assert np.isnan(made.blobs["y"].data).all()
