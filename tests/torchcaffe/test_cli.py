"""The command line beside Caffe's: exit codes and messages, also without PyTorch or a GPU."""

import os
import re
import signal
import subprocess
import sys
from pathlib import Path

import pytest
import torch

import torchcaffe
from tests.helpers import engine_runs
from tests.helpers.engine_processes import engines, started


def test_the_version_is_told_without_loading_pytorch() -> None:
    program = (
        "import sys; from torchcaffe.cli import main; code = main(['--version']); sys.exit('torch' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, cwd=engine_runs.CHECKOUT)
    assert (done.returncode, done.stdout) == (0, f"torchcaffe version {torchcaffe.__version__}\n")


def test_threads_spin_for_a_bounded_time_unless_the_caller_says_otherwise() -> None:
    program = "import os, torchcaffe; print(os.environ.get('GOMP_SPINCOUNT'))"
    bare = {name: value for name, value in os.environ.items() if name not in ("GOMP_SPINCOUNT", "OMP_WAIT_POLICY")}
    wanted = [({}, "5000\n"), ({"GOMP_SPINCOUNT": "7"}, "7\n"), ({"OMP_WAIT_POLICY": "ACTIVE"}, "None\n")]
    for given, count in wanted:
        done = subprocess.run(
            [sys.executable, "-c", program], capture_output=True, text=True, cwd=engine_runs.CHECKOUT, env=bare | given
        )
        assert done.stdout == count, done.stderr


# Runs `python -m torchcaffe` as it is without PyTorch.
WITHOUT_TORCH = """
import runpy, sys
sys.modules["torch"] = None
runpy.run_module("torchcaffe", run_name="__main__", alter_sys=True)
"""


def without_torch(*arguments: str) -> "subprocess.CompletedProcess[str]":
    command = [sys.executable, "-c", WITHOUT_TORCH, *arguments]
    return subprocess.run(command, capture_output=True, text=True, cwd=engine_runs.CHECKOUT)


@pytest.mark.parametrize("arguments", ["train --solver=x", "train", "test --model=x", "time", "device_query"])
def test_without_pytorch_one_line_says_what_to_install(arguments: str) -> None:
    run = without_torch(*arguments.split())
    hint = "run `pip install torch`, or `make torchcaffe` in a checkout"
    assert run.stderr == f"ERROR: torchcaffe needs PyTorch, which is not installed: {hint}\n"
    assert (run.returncode, run.stdout) == (1, "")


def test_without_pytorch_the_version_and_the_flags_are_told() -> None:
    assert without_torch("--version").stdout == f"torchcaffe version {torchcaffe.__version__}\n"
    assert "usage: torchcaffe <command> <args>" in without_torch("--help").stderr


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
    "an unknown solver": ("train --solver=type.prototxt", r"type.prototxt:\d+: Unknown solver type: NoSuchSolver"),
    "an unknown policy": ("train --solver=policy.prototxt", r"policy.prototxt:\d+: Unknown learning rate policy: stpe"),
    "a missing LMDB": ("train --solver=no_data_solver.prototxt", "layer data: nowhere: not an LMDB"),
    "a missing folder": ("train --solver=nowhere.prototxt", "Cannot write to snapshot prefix 'nowhere/out'"),
    "missing weights": (f"{TRAIN} --weights=none.caffemodel", "none.caffemodel: cannot be read"),
    "weights cut off": (f"{TRAIN} --weights=cut.caffemodel", "cut.caffemodel: not a caffemodel, or cut off"),
    "a missing snapshot": (f"{TRAIN} --snapshot=none.solverstate", "none.solverstate: cannot be read"),
    "a caffemodel as snapshot": (f"{TRAIN} --snapshot=out_iter_2.caffemodel", "not a solverstate: it holds no"),
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
    "a snapshot cut off": (f"{TRAIN} --snapshot=cut.solverstate", "cut.solverstate: not a solverstate, or cut off"),
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
