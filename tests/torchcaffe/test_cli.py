"""The command line beside Caffe's: exit codes, messages, signals, and that nothing half-written is left behind."""

import os
import re
import resource
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch

import torchcaffe
from caffeformat import blobs, prototxt
from caffeformat.caffeformat_pb2 import NetParameter
from tests.helpers import engine_runs


@pytest.fixture(scope="module")
def experiment(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("experiment")
    engine_runs.make_experiment(folder, engine_runs.slim_alexnet(xavier=True), max_iter=2, snapshot=0, test_interval=2)
    assert engine_runs.ours(folder, "train", "--solver=solver.prototxt").code == 0
    (folder / "cut.caffemodel").write_bytes((folder / "out_iter_2.caffemodel").read_bytes()[:100_000])
    (folder / "cut.solverstate").write_bytes((folder / "out_iter_2.solverstate").read_bytes()[:100_000])
    net = (folder / "net.prototxt").read_text()
    (folder / "small.binaryproto").write_bytes(blobs.mean_bytes(np.zeros((3, 8, 8), np.float32)))
    (folder / "mean_net.prototxt").write_text(net.replace("mean.binaryproto", "small.binaryproto"))
    (folder / "cut_net.prototxt").write_text(net.replace('"train"', '"cut_lmdb"'))
    (folder / "cut_lmdb").mkdir()
    (folder / "cut_lmdb" / "data.mdb").write_bytes((folder / "train" / "data.mdb").read_bytes()[:-8192])
    other = NetParameter()
    other.layer.add(name="fc8").blobs.extend([blobs.array_to_blob(np.zeros((2, 3))), blobs.array_to_blob(np.zeros(5))])
    (folder / "other.caffemodel").write_bytes(other.SerializeToString())
    (folder / "no_data.prototxt").write_text((folder / "net.prototxt").read_text().replace('"train"', '"nowhere"'))
    (folder / "misspelt.prototxt").write_text(engine_runs.solver_text().replace("gamma", "gama"))
    for name, settings in {
        "type": {"type": '"Adamax"'},
        "policy": {"lr_policy": '"stpe"'},
        "no_data_solver": {"net": '"no_data.prototxt"'},
        "mean": {"net": '"mean_net.prototxt"'},
        "cut_lmdb": {"net": '"cut_net.prototxt"'},
        "nowhere": {"snapshot_prefix": '"nowhere/out"'},
        "long": {"snapshot_prefix": '"long"', "max_iter": 10000, "snapshot": 0, "display": 1, "test_interval": 10000},
    }.items():
        (folder / f"{name}.prototxt").write_text(engine_runs.solver_text(**settings))
    return folder


def test_the_version_is_told_without_loading_pytorch() -> None:
    program = (
        "import sys; from torchcaffe.cli import main; code = main(['--version']); sys.exit('torch' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, cwd=engine_runs.CHECKOUT)
    assert (done.returncode, done.stdout) == (0, f"torchcaffe version {torchcaffe.__version__}\n")


TRAIN = "train --solver=solver.prototxt"
SAME_CODE = {
    "no command": ("", "usage: torchcaffe <command> <args>"),
    "two commands": ("train test", "usage: torchcaffe <command> <args>"),
    "an unknown flag": ("train --solvr=x", "ERROR: unknown command line flag 'solvr'"),
    "an unknown command": ("brew", "Unknown action: brew"),
    "no solver": ("train", "Need a solver definition to train"),
    "no model": ("test", "Need a model definition to score"),
    "no weights": ("test --model=net.prototxt", "Need model weights to score"),
    "weights and a snapshot": (f"{TRAIN} --weights=a --snapshot=b", "but not both"),
    "an unknown effect": (f"{TRAIN} --sigint_effect=explode", 'Invalid signal effect "explode" was specified'),
    "a missing solver": ("train --solver=none.prototxt", "none.prototxt: cannot be read"),
    "a misspelt field": ("train --solver=misspelt.prototxt", r'misspelt.prototxt:\d+: .*"gama"; did you mean gamma\?'),
    "an unknown solver": ("train --solver=type.prototxt", "type.prototxt: Unknown solver type: Adamax"),
    "an unknown policy": ("train --solver=policy.prototxt", "Unknown learning rate policy: stpe"),
    "a missing LMDB": ("train --solver=no_data_solver.prototxt", "layer data: nowhere: no LMDB"),
    "a missing folder": ("train --solver=nowhere.prototxt", "Cannot write to snapshot prefix 'nowhere/out'"),
    "missing weights": (f"{TRAIN} --weights=none.caffemodel", "none.caffemodel: cannot be read"),
    "weights cut off": (f"{TRAIN} --weights=cut.caffemodel", "cut.caffemodel: no caffemodel, or cut off"),
    "a missing snapshot": (f"{TRAIN} --snapshot=none.solverstate", "none.solverstate: cannot be read"),
    "a caffemodel as snapshot": (f"{TRAIN} --snapshot=out_iter_2.caffemodel", "no solverstate: it holds no iteration"),
    "no iterations": ("test --model=net.prototxt --weights=out_iter_2.caffemodel --iterations=0", "Loss: -?nan"),
    "an empty name among the weights": (f"{TRAIN} --weights=out_iter_2.caffemodel,", "a name in the list is empty"),
    "a mean of another size": (
        "train --solver=mean.prototxt",
        r"mean_net.prototxt:\d+: layer data: small.binaryproto: a mean of 3x8x8, but the images are 3x64x64",
    ),
    "an LMDB cut off": (
        "train --solver=cut_lmdb.prototxt",
        r"cut_net.prototxt:\d+: layer data: cut_lmdb/data.mdb: cut off: \d+ bytes of \d+",
    ),
    "a caffemodel of another net": (
        f"{TRAIN} --weights=other.caffemodel",
        r"other.caffemodel: Cannot copy param 0 weights from layer 'fc8'; shape mismatch.  Source param shape is 2 3 ",
    ),
    "a snapshot cut off": (f"{TRAIN} --snapshot=cut.solverstate", "cut.solverstate: no solverstate, or cut off"),
}


@pytest.mark.parametrize(("arguments", "message"), SAME_CODE.values(), ids=SAME_CODE.keys())
def test_a_mistake_is_told_in_one_line_and_ends_as_in_caffe(caffe, experiment, arguments: str, message: str) -> None:
    found = engine_runs.ours(experiment, *arguments.split())
    assert re.search(message, found.log), found.log
    assert "Traceback" not in found.log
    right = engine_runs.real(caffe, experiment, *arguments.split())
    aborted = (-signal.SIGABRT, -signal.SIGBUS)  # Caffe reads beyond the end of an LMDB that is cut off
    assert found.code == (134 if right.code in aborted else right.code)
    if found.code == 134:
        assert re.search(r"^F\d{4} [\d:.]+ +\d+ \S+:\d+\] .*\n\*\*\* Check failure", found.log, re.MULTILINE)


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
    """Also where there is one: Caffe, for the CPU only, has none."""
    found = engine_runs.ours(experiment, *arguments.split())
    assert re.search(message, found.log), found.log
    right = engine_runs.real(caffe, experiment, *arguments.split())
    assert found.code == {-signal.SIGABRT: 134}.get(right.code, right.code)


@pytest.mark.parametrize(
    ("error", "message"),
    [
        (
            torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2 GiB.\nmore"),
            "Tried to allocate 2 GiB. Give a sm",
        ),
        (
            RuntimeError("CUDA error: device-side assert triggered\nmore"),
            "assert triggered. A label outside of the classes",
        ),
        (RuntimeError("CUDA error: misaligned address\nmore"), "the GPU reports: CUDA error: misaligned address"),
    ],
)
def test_what_pytorch_says_of_a_gpu_is_told_in_one_line(experiment: Path, monkeypatch, error, message: str) -> None:
    def fails(self: object) -> None:
        raise error

    monkeypatch.setattr("torchcaffe.solvers.step.Step.forward_backward", fails)
    found = engine_runs.ours(experiment, *TRAIN.split())
    assert (found.code, found.log.count(message)) == (134, 1), found.log[-2000:]
    assert "more\n" not in found.log


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU")
@pytest.mark.parametrize("command", ["device_query", "time --model=net.prototxt", TRAIN])
def test_all_gpus_where_there_is_none(caffe: Path, experiment: Path, command: str) -> None:
    found = engine_runs.ours(experiment, *command.split(), "--gpu=all")
    assert (found.code, "--gpu=all: no GPU is found" in found.log) == (134, True), found.log
    assert engine_runs.real(caffe, experiment, *command.split(), "--gpu=all").code in (134, -signal.SIGABRT)


@pytest.mark.parametrize("phase", ["TRAIN", "TEST"])
def test_a_label_outside_the_classes_is_told_with_layer_label_and_classes(experiment: Path, phase: str) -> None:
    """BVLC Caffe reads beyond its arrays and goes on."""
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


def started(command: list[str], folder: Path, words: str) -> "subprocess.Popen[str]":
    """A process of its own, once there is a line with `words` in its log."""
    environment = {
        **os.environ,
        "PYTHONPATH": str(engine_runs.CHECKOUT),
        "OMP_NUM_THREADS": "1",
        "OPENBLAS_NUM_THREADS": "1",
    }
    process = subprocess.Popen(command, cwd=folder, stderr=subprocess.PIPE, text=True, env=environment)
    wait_for(process, words)
    return process


def wait_for(process: "subprocess.Popen[str]", words: str) -> None:
    """Reads the log up to a line with `words` in it."""
    assert any(words in line for line in process.stderr), f"the log ended without {words!r}"


def engines(caffe: Path) -> dict[str, list[str]]:
    return {"caffe": [str(caffe)], "torchcaffe": [sys.executable, "-m", "torchcaffe"]}


SIGNALS = {
    "as they are": ([], signal.SIGHUP, signal.SIGINT),
    "the other way round": (["--sigint_effect=snapshot", "-sighup_effect", "stop"], signal.SIGINT, signal.SIGHUP),
}


@pytest.mark.slow
@pytest.mark.parametrize(("flags", "to_snapshot", "to_stop"), SIGNALS.values(), ids=SIGNALS.keys())
def test_one_signal_snapshots_the_other_snapshots_and_stops(caffe, experiment, flags, to_snapshot, to_stop) -> None:
    endings = {}
    for engine, command in engines(caffe).items():
        command = [*command, "train", "--solver=long.prototxt", *flags]
        process = started(command, experiment, "Iteration 1 ")
        process.send_signal(to_snapshot)
        wait_for(process, "Snapshotting solver state")
        for _ in range(2):
            wait_for(process, "loss = ")
        process.send_signal(to_stop)
        rest = engine_runs.Run(process.wait(), process.stderr.read())
        lines = rest.lines("Snapshotting", "Optimization", "stopped")
        endings[engine] = (rest.code, [re.sub(r"_\d+\.", "_N.", line) for line in lines])
        states = list(experiment.glob("long_iter_*.solverstate"))
        assert len(states) == 2, engine
        for path in experiment.glob("long_iter_*"):
            path.unlink()
    assert endings["torchcaffe"] == endings["caffe"]
    assert endings["caffe"][0] == 0
    assert "I solver.cpp:311] Optimization stopped early." in endings["caffe"][1]


@pytest.mark.slow
def test_a_signal_without_an_effect_is_passed_over(caffe: Path, experiment: Path) -> None:
    for command in engines(caffe).values():
        command = [*command, "train", "--solver=long.prototxt", "--sigint_effect=none", "--sighup_effect=none"]
        process = started(command, experiment, "Iteration 1 ")
        for number in (signal.SIGINT, signal.SIGHUP):
            process.send_signal(number)
            for _ in range(3):
                wait_for(process, "loss = ")
        process.terminate()
        assert process.wait() == -signal.SIGTERM
        process.stderr.close()
    assert not list(experiment.glob("long_iter_*"))


@pytest.mark.slow
def test_what_does_not_train_ends_by_a_signal_as_caffe_does(caffe: Path, experiment: Path) -> None:
    for command in engines(caffe).values():
        command = [*command, "time", "--model=net.prototxt", "--iterations=100000"]
        process = started(command, experiment, "Iteration: 1 ")
        process.send_signal(signal.SIGINT)
        rest = process.stderr.read()
        assert (process.wait(), "Traceback" in rest) == (-signal.SIGINT, False)


@pytest.mark.slow
def test_a_log_that_nobody_reads_ends_the_run_as_in_caffe(caffe: Path, experiment: Path) -> None:
    for command in engines(caffe).values():
        process = started([*command, "train", "--solver=long.prototxt"], experiment, "Iteration 1 ")
        process.stderr.close()
        assert process.wait() == -signal.SIGPIPE
    assert not list(experiment.glob("long_iter_*"))


@pytest.fixture
def little_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of one megabyte."""
    folder = tmp_path / "disk"
    folder.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", folder]
    if os.geteuid() != 0 or subprocess.run(mount, capture_output=True).returncode:
        pytest.skip("needs the right to mount a tmpfs")
    yield folder
    subprocess.run(["umount", folder], check=True)


@pytest.mark.parametrize("format_", ["BINARYPROTO", "HDF5"])
def test_a_full_disk_is_told_and_leaves_no_partial_snapshot(experiment: Path, little_disk: Path, format_: str) -> None:
    settings = {"max_iter": 1, "snapshot": 1, "snapshot_prefix": f'"{little_disk}/out"', "snapshot_format": format_}
    (experiment / "full.prototxt").write_text(engine_runs.solver_text(**settings, test_interval=9))
    found = engine_runs.ours(experiment, "train", "--solver=full.prototxt")
    ending = ".h5" if format_ == "HDF5" else ""
    assert found.code == 134
    message = (
        f"{little_disk}/out_iter_1.caffemodel{ending}: cannot be written: No space left on device; nothing was left"
    )
    assert re.search(rf"^F.*Check failed: {re.escape(message)} there$", found.log, re.MULTILINE), found.log[-1000:]
    assert list(little_disk.iterdir()) == []


def test_a_file_that_may_not_grow_leaves_no_partial_snapshot(experiment: Path) -> None:
    before = sorted(experiment.iterdir())
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (500_000, hard))
    try:
        (experiment / "limited.prototxt").write_text(
            engine_runs.solver_text(max_iter=1, snapshot_prefix='"limited"', test_interval=9)
        )
        found = engine_runs.ours(experiment, "train", "--solver=limited.prototxt")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert found.code == 134
    assert "limited_iter_1.caffemodel: cannot be written: File too large; nothing was left there" in found.log
    assert sorted(experiment.iterdir()) == sorted([*before, experiment / "limited.prototxt"])
