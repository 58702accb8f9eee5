"""The commands `test`, `time` and `device_query`, and the flags that choose a GPU, levels and stages, beside Caffe."""

import re
import signal
from pathlib import Path

import pytest
import torch

from caffeformat import prototxt
from caffeformat.caffeformat_pb2 import NetParameter
from tests.helpers import engine_runs
from tests.helpers.log_runs import NET, write
from torchcaffe.layer_types.inner_product import InnerProduct

TRAIN = "train --solver=solver.prototxt"


@pytest.mark.parametrize(
    ("arguments", "message"),
    {
        f"{TRAIN} --gpu=0,1": "--gpu=0,1: Multi-GPU execution is not available: a net is trained on one GPU; name one",
        f"{TRAIN} --gpu=99": "cannot use GPU 99: .*leave out --gpu and set solver_mode: CPU",
        f"{TRAIN} --gpu=-1": "cannot use GPU -1: ",
        f"{TRAIN} --gpu=first": "--gpu=first: a GPU's number is needed, or `all`",
        "test --model=net.prototxt --weights=out_iter_2.caffemodel --gpu=99,100": "cannot use GPU 99: ",
        "time --model=net.prototxt --gpu=99": "cannot use GPU 99: ",
        "device_query --gpu=99": "cannot use GPU 99: ",
    }.items(),
)
def test_a_gpu_that_cannot_be_used_is_named_and_the_code_is_caffes(caffe, experiment, arguments, message) -> None:
    """Even on a machine with a GPU: this Caffe is built for CPUs only."""
    found = engine_runs.ours(experiment, *arguments.split())
    assert re.search(message, found.log), found.log
    right = engine_runs.real(caffe, experiment, *arguments.split())
    assert found.code == {-signal.SIGABRT: 134}.get(right.code, right.code)


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU")
@pytest.mark.parametrize("command", ["device_query", "time --model=net.prototxt", TRAIN])
def test_all_gpus_where_there_is_none(caffe: Path, experiment: Path, command: str) -> None:
    found = engine_runs.ours(experiment, *command.split(), "--gpu=all")
    assert (found.code, "--gpu=all: no GPU is found" in found.log) == (134, True), found.log
    assert engine_runs.real(caffe, experiment, *command.split(), "--gpu=all").code in (134, -signal.SIGABRT)


@pytest.mark.parametrize("phase", ["TRAIN", "TEST"])
def test_a_label_outside_the_classes_is_told_with_layer_label_and_classes(experiment: Path, phase: str) -> None:
    """BVLC Caffe reads beyond its arrays and continues."""
    net = prototxt.read_net(experiment / "net.prototxt")
    for layer in net.layer:
        if layer.name == "fc8":
            layer.inner_product_param.num_output = 3
    (experiment / "few.prototxt").write_text(prototxt.to_text(net))
    model = "--model=few.prototxt"
    weights = f"--weights={(experiment / 'none.caffemodel')}"
    (experiment / "none.caffemodel").write_bytes(NetParameter(layer=[{"name": "none"}]).SerializeToString())
    arguments = ("time", model, "--phase=TRAIN") if phase == "TRAIN" else ("test", model, weights)
    found = engine_runs.ours(experiment, *arguments)
    layer = r"'loss' \(SoftmaxWithLoss\)" if phase == "TRAIN" else r"'accuracy' \(Accuracy\)"
    message = rf"few.prototxt:\d+: layer {layer}: a label is \d, but there are 3 classes, 0 to 2"
    assert found.code == 134
    assert re.search(rf"^F.*Check failed: {message}$", found.log, re.MULTILINE), found.log[-500:]


def test_time_measures_every_layer(caffe: Path, experiment: Path) -> None:
    arguments = ("time", "--model=net.prototxt", "--iterations=2")
    right, found = engine_runs.real(caffe, experiment, *arguments), engine_runs.ours(experiment, *arguments)
    assert found.code == right.code == 0
    right, found = ([re.sub(r"[\d.e+-]+ ms", "", line) for line in run.lines("caffe.cpp")] for run in (right, found))
    assert [line for line in found if "Initial loss" not in line] == [
        line for line in right if "Initial loss" not in line
    ]
    assert len(found) > 40


def test_device_query_without_a_gpu_asks_none(experiment: Path) -> None:
    found = engine_runs.ours(experiment, "device_query")
    assert (found.code, found.lines()) == (0, ["I caffe.cpp:138] Querying GPUs "])


def test_levels_and_stages_of_the_command_line_reach_the_train_net(caffe: Path, tmp_path: Path) -> None:
    extra = 'layer { name: "x" type: "Silence" bottom: "top2" include { min_level: 2 stage: "quiet" } }\n'
    write(tmp_path, {"max_iter": 2}, net=NET + extra)
    arguments = ("train", "-solver", "solver.prototxt", "--level=2", "--stage=quiet,more")
    right, found = engine_runs.real(caffe, tmp_path, *arguments), engine_runs.ours(tmp_path, *arguments)
    assert (found.code, right.code) == (0, 0), found.log[-2000:] + right.log[-2000:]
    engine_runs.same(found, right)
    assert not [line for line in found.lines("Train net output") if " top2 = " in line]


TRYING = """
import sys
import numpy as np
import torch
import torchcaffe as caffe


class Squares(caffe.Layer):
    def setup(self, bottom, top):
        pass

    def reshape(self, bottom, top):
        top[0].reshape(*bottom[0].shape)

    def forward(self, bottom, top):
        print("inference mode", torch.is_inference_mode_enabled(), file=sys.stderr)
        top[0].data[...] = bottom[0].data ** 2

    def backward(self, top, propagate_down, bottom):
        x = torch.from_numpy(np.array(bottom[0].data)).requires_grad_()
        x.square().backward(torch.from_numpy(np.array(top[0].diff)))
        bottom[0].diff[...] = x.grad
"""


def test_a_layer_in_python_may_use_autograd(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """And what it does with it is what the Power layer does without."""
    (tmp_path / "trying.py").write_text(TRYING)
    monkeypatch.syspath_prepend(tmp_path)
    squares = {
        "python": 'type: "Python" python_param { module: "trying" layer: "Squares" }',
        "power": 'type: "Power" power_param { power: 2 }',
    }
    logs = {}
    for name, kind in squares.items():
        folder = tmp_path / name
        folder.mkdir()
        square = f'layer {{ name: "square" bottom: "ip2" top: "square" {kind} }}\n'
        score = '"score" type: "InnerProduct" bottom: "ip2"'
        net = NET.replace(f"layer {{ name: {score}", f"{square}layer {{ name: {score.replace('ip2', 'square')}")
        write(folder, {"max_iter": 5, "display": 1}, net=net)
        run = engine_runs.ours(folder, "train", "--solver=solver.prototxt")
        assert run.code == 0, run.log
        logs[name] = run
    assert "inference mode False" in logs["python"].log
    assert len(logs["power"].lines("loss = ")) > 5
    engine_runs.same(*(engine_runs.Run(0, "\n".join(run.lines("loss = "))) for run in logs.values()))


def test_other_nets_run_without_autograd(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    modes = set()

    def forward(layer, bottom, top):
        modes.add(torch.is_inference_mode_enabled())
        plain(layer, bottom, top)

    plain = InnerProduct.forward
    monkeypatch.setattr(InnerProduct, "forward", forward)
    write(tmp_path, {"max_iter": 2})
    for command in ("train --solver=solver.prototxt", "time --model=net.prototxt --iterations=1"):
        assert engine_runs.ours(tmp_path, *command.split()).code == 0
        assert modes == {True}
        modes.clear()
    assert not torch.is_inference_mode_enabled()
