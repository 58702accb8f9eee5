"""The context: what bf16 rounds, what tf32 needs, that fp32 stays exact, and seeds that are set later."""

import re
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch

import torchcaffe as caffe
from caffeformat import FormatError, blobs
from tests.helpers import engine_runs, small_net
from tests.helpers.both_engines import net_of
from tests.helpers.net_of_each_layer import HEAD, NETS, SCORES, SOFTMAX, one
from tests.helpers.real_caffe import RealCaffe
from torchcaffe.common import context

SETTINGS = "base_lr: 0.01 momentum: 0.9"
BF16 = 2.0**-8  # half a unit in the last place of its 8 bits, relative
PRODUCTS = {name: NETS[name] for name in ("Convolution", "Deconvolution", "InnerProduct", "LRN", "Dropout", "Scale")}


@pytest.fixture(autouse=True)
def fp32() -> Iterator[None]:
    caffe.set_mode_cpu()
    yield
    caffe.set_precision("fp32")


def passes(folder: Path, text: str, precision: str) -> caffe.Net:
    """A net of `text` after a forward and a backward pass in `precision`: seeded weights, one batch."""
    caffe.set_precision(precision)
    (folder / "net.prototxt").write_text(text)
    caffe.set_random_seed(1)
    net = caffe.Net(folder / "net.prototxt", caffe.TRAIN)
    random = np.random.default_rng(1)
    net.blobs["x"].data = random.standard_normal((8, 4, 9, 9)).astype(np.float32)
    net.blobs["label"].data = random.integers(0, 5, 8).astype(np.float32)
    net.forward()
    net.backward()
    return net


def tensors(net: caffe.Net) -> dict[str, torch.Tensor]:
    named = {f"blob {name}": blob for name, blob in net.blobs.items()}
    named |= {f"weights {name} {i}": blob for name, many in net.params.items() for i, blob in enumerate(many)}
    return {f"{name} {part}": getattr(blob, part) for name, blob in named.items() for part in ("value", "grad")}


@pytest.mark.parametrize("text", PRODUCTS.values(), ids=PRODUCTS.keys())
def test_bf16_is_close_and_keeps_weights_gradients_and_blobs_in_float32(tmp_path: Path, text: str) -> None:
    exact, rounded = (tensors(passes(tmp_path, text, precision)) for precision in ("fp32", "bf16"))
    assert exact.keys() == rounded.keys()
    for name, right in exact.items():
        found = rounded[name]
        if right is None:
            assert found is None
            continue
        assert found.dtype == torch.float32, name
        if name.startswith("weights") and name.endswith("value"):
            assert torch.equal(found, right), name
        else:
            assert float((found - right).norm() / right.norm().clamp(min=1e-6)) < 8 * BF16, name
    assert not torch.equal(rounded["blob scores value"], exact["blob scores value"])


def test_bf16_rounds_the_operands_and_the_product_and_sums_in_float32(tmp_path: Path) -> None:
    net = passes(tmp_path, HEAD + one("ReLU") + SCORES + SOFTMAX, "bf16")
    x, weight = (tensor.bfloat16().double() for tensor in (net.blobs["b"].value, net.params["scores"][0].value))
    exact = x.flatten(1) @ weight.t()
    found = net.blobs["scores"].value
    assert torch.equal(found, found.bfloat16().float())
    assert float(((found - exact).abs() / exact.abs().clamp(min=1e-2)).max()) <= BF16 * 1.01


def test_bf16_leaves_the_loss_and_its_gradient_in_float32(tmp_path: Path) -> None:
    net = passes(tmp_path, HEAD + one("ReLU") + SCORES + SOFTMAX, "bf16")
    scores, label = net.blobs["scores"].value.double(), net.blobs["label"].value.long()
    right = torch.nn.functional.cross_entropy(scores, label)
    assert abs(float(net.blobs["loss"].value) - float(right)) < 1e-6
    diff = (scores.softmax(1) - torch.nn.functional.one_hot(label, 5)) / 8
    assert float((net.blobs["scores"].grad - diff).abs().max()) < 1e-7


def test_a_run_in_bf16_learns_as_one_in_fp32(tmp_path: Path, small_data: Path) -> None:
    losses, weights = {}, {}
    for name, flags in {
        "fp32": (),
        "bf16": ("--precision=bf16",),
        "static": ("--precision=bf16", "--step=static"),
    }.items():
        folder = small_net.experiment(tmp_path / name, small_data, SETTINGS)
        run = engine_runs.ours(folder, *small_net.TRAIN, *flags)
        assert run.code == 0, run.log[-2000:]
        losses[name] = [float(re.search(r"loss = (\S+)", line)[1]) for line in run.lines("Iteration") if "loss" in line]
        weights[name] = blobs.read_caffemodel(folder / "out_iter_20.caffemodel")
    assert losses["static"] == losses["bf16"] != losses["fp32"]
    assert np.allclose(losses["bf16"], losses["fp32"], rtol=0.05, atol=0.02)
    for layer, arrays in weights["fp32"].items():
        for found, right in zip(weights["bf16"][layer], arrays, strict=True):
            assert np.linalg.norm(found - right) < 0.05 * np.linalg.norm(right), layer


def test_test_and_time_take_the_precision_too(tmp_path: Path, small_data: Path) -> None:
    folder = small_net.experiment(tmp_path / "run", small_data, SETTINGS)
    assert engine_runs.ours(folder, *small_net.TRAIN).code == 0
    command = ("test", "--model=net.prototxt", "--weights=out_iter_20.caffemodel", "--iterations=2")
    lines = [engine_runs.ours(folder, *command, f"--precision={name}").lines("Loss:") for name in ("fp32", "bf16")]
    assert len(lines[0]) == len(lines[1]) == 1
    assert lines[0] != lines[1]
    timed = [
        engine_runs.ours(folder, "time", "--model=net.prototxt", "--iterations=1", f"--precision={name}").lines(
            "Initial loss"
        )
        for name in ("fp32", "bf16")
    ]
    assert len(timed[0]) == len(timed[1]) == 1


@pytest.mark.parametrize(
    "command", [small_net.TRAIN, ("test", "--model=net.prototxt", "--weights=w"), ("time", "--model=net.prototxt")]
)
def test_tf32_is_refused_on_a_cpu_and_an_unknown_choice_everywhere(tmp_path: Path, small_data: Path, command) -> None:
    folder = small_net.experiment(tmp_path / "run", small_data, SETTINGS)
    for flag, message in {
        "--precision=tf32": "--precision=tf32: a CPU has no TF32; use fp32 or bf16, or name a GPU: --gpu=0",
        "--precision=fp16": "--precision=fp16: choose one of fp32, tf32, bf16",
        "--data=disk": "--data=disk: choose one of auto, streamed, resident",
        "--step=graph": "--step=graph: choose one of auto, eager, static",
    }.items():
        run = engine_runs.ours(folder, *command, flag)
        assert (run.code, run.lines("Check failed")) == (134, [f"F common.cpp:152] Check failed: {message}"])
    with pytest.raises(FormatError, match="a CPU has no TF32"):
        caffe.set_precision("tf32")
    assert context.current().precision == "fp32"


def test_fp32_turns_off_what_pytorch_turns_on_of_itself() -> None:
    torch.backends.cudnn.allow_tf32 = torch.backends.cuda.matmul.allow_tf32 = True
    caffe.set_precision("fp32")
    assert not torch.backends.cudnn.allow_tf32
    assert not torch.backends.cuda.matmul.allow_tf32
    assert torch.backends.cuda.matmul.fp32_precision == "ieee"


def test_a_seed_set_later_holds_for_nets_that_are_there(real_caffe: RealCaffe, tmp_path: Path) -> None:
    path = tmp_path / "net.prototxt"
    path.write_text(net_of('layer { name: "drop" type: "Dropout" bottom: "x" top: "y" }', x=(4, 50)))
    program = """
net = caffe.Net(given["path"], 0)
caffe.set_random_seed(11)
net.blobs["x"].data[...] = 1
out["y"] = net.forward()["y"]
"""
    right = real_caffe.run(program, path=str(path))
    net = caffe.Net(path, caffe.TRAIN)
    caffe.set_random_seed(11)
    assert np.array_equal(net.forward(x=np.ones((4, 50)))["y"], right["y"])
