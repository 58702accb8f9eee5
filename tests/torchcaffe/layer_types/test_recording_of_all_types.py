"""Every layer type, with its GPU's branch, on a tape of PyTorch's calls: nothing in it may come from the host."""

import re
from pathlib import Path

import numpy as np
import pytest
import torch

import torchcaffe as caffe
from tests.helpers import small_net
from tests.helpers.call_tape import Tape, on_tape
from tests.helpers.net_of_each_layer import BODIES, NETS, SCORES, SOFTMAX
from tests.helpers.step_runs import ACCURACY, STATIC, experiment, outcome
from torchcaffe.common import context

ITERATIONS = 6


def test_no_layer_type_is_left_out() -> None:
    others = {"Data", "DummyData", "HDF5Data", "HDF5Output", "ImageData", "MemoryData", "WindowData"}  # in test_step.py
    others |= {"Python"}  # not recorded: test_python.py
    types = set(re.findall(r'type: "(\w+)"', "".join(NETS.values())))
    assert types | others >= set(caffe.layer_type_list())


@pytest.mark.parametrize(
    "work",
    [
        lambda x: float(x[0]),
        lambda x: torch.tensor(3.0),
        lambda x: torch.where(x == 0, 0, 1 / x),
        lambda x: x[x > 0],
        lambda x: torch.bincount(x.long()),
    ],
    ids=["a value read", "a number sent", "a number in where", "a mask", "a count"],
)
def test_a_tape_refuses_what_a_graph_cannot_hold(work) -> None:
    x = torch.ones(3)
    with pytest.raises(AssertionError, match="cannot be captured"):
        Tape(lambda: work(x), [])


@pytest.mark.parametrize("name", NETS)
def test_a_played_tape_leaves_in_every_blob_what_the_net_does(tmp_path: Path, monkeypatch, name: str) -> None:
    caffe.set_mode_cpu()
    (tmp_path / "net.prototxt").write_text(NETS[name])
    (tmp_path / "solver.prototxt").write_text(
        f'net: "{tmp_path}/net.prototxt" base_lr: 0.01 momentum: 0.9 lr_policy: "fixed" random_seed: 1 solver_mode: CPU'
    )
    on_tape(monkeypatch)
    left = []
    for way in ("eager", "static"):
        context.set_execution(step=way)
        solver = caffe.get_solver(tmp_path / "solver.prototxt")
        random = np.random.default_rng(1)
        for _ in range(ITERATIONS):
            solver.net.blobs["x"].data = random.standard_normal((8, 4, 9, 9)).astype(np.float32) * 2
            solver.net.blobs["label"].data = random.integers(0, 5, 8).astype(np.float32)
            solver.step(1)
        left.append({blob_name: (blob.data, blob.diff) for blob_name, blob in solver.net.blobs.items()})
        left[-1] |= {str(key): (blobs[0].data, blobs[-1].data) for key, blobs in solver.net.params.items()}
    context.set_execution()
    assert np.isfinite(left[0]["loss"][0])
    for key, right in left[0].items():
        for found, array in zip(left[1][key], right, strict=True):
            assert np.array_equal(found, array), key


@pytest.mark.parametrize("data", ["streamed", "resident"])
def test_a_run_on_tape_reads_its_data_and_draws_its_dropout(tmp_path, small_data, monkeypatch, data: str) -> None:
    on_tape(monkeypatch)
    settings = "base_lr: 0.05 momentum: 0.9 test_iter: 3 test_interval: 5"
    plain, taped = (
        outcome(experiment(tmp_path / name, small_data, settings, ACCURACY), *small_net.TRAIN, *flags)
        for name, flags in {"plain": (), "taped": (STATIC, f"--data={data}")}.items()
    )
    assert len(plain[1]) > 100
    assert taped == plain


@pytest.mark.parametrize("name", BODIES)
def test_a_layer_that_no_gradient_reaches_keeps_nothing_for_one_and_computes_the_same(tmp_path, name: str) -> None:
    """Without a loss no layer is asked back; with one, a layer keeps what it says it does."""
    found = {}
    for what, text in {"forward only": NETS[name].replace(SCORES + SOFTMAX, ""), "both ways": NETS[name]}.items():
        caffe.set_mode_cpu()
        caffe.set_random_seed(1)
        (tmp_path / "net.prototxt").write_text(text)
        net = caffe.Net(tmp_path / "net.prototxt", caffe.TRAIN)
        random = np.random.default_rng(1)
        for blob in ("x", "label"):
            net.blobs[blob].data = random.integers(0, 5, net.blobs[blob].shape).astype(np.float32)
        caffe.set_random_seed(2)  # for Dropout: fillers have drawn more in the one than in the other
        net.forward()
        left = [getattr(layer, kept, None) for layer in net.layers for kept in layer.saved_for_backward]
        found[what] = net.blobs["b"].data, [tensor for tensor in left if tensor is not None]
    assert found["forward only"][1] == []
    assert np.array_equal(found["forward only"][0], found["both ways"][0])
    if name in ("LRN", "Pooling", "Dropout", "BatchNorm", "PReLU", "Scale"):
        assert found["both ways"][1]
