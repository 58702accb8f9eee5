"""An iteration from fixed memory, recorded, beside one run layer by layer: the same numbers to the bit.

On the CPU the recording is graph.py's likeness of a CUDA graph: it does what was recorded, with the rate that was
recorded, and puts the results where they were. What a GPU does with it is in test_gpu.py.
"""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import runs
import small
from steps import MULTS, POLICIES
from steps import NET as FED

import torchcaffe as caffe
from torchcaffe import context
from torchcaffe.graph import Likeness

TESTED = small.NET + """
layer { name: "hits" type: "Accuracy" bottom: "ip" bottom: "label" top: "hits" top: "of each" include { phase: TEST } }
"""


@pytest.fixture
def static() -> Iterator[None]:
    """Steps are static."""
    caffe.set_mode_cpu()
    context.set_ways(step="static")
    yield
    context.set_ways()


def snapshots(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.glob("out_iter_*")}


def one_run(folder: Path, data: Path, solver: str, *flags: str) -> tuple[dict[str, bytes], list[str]]:
    """The snapshots and the log of a run of the small experiment."""
    small.experiment(folder, data, solver)
    run = runs.ours(folder, *small.TRAIN, *flags)
    assert run.code == 0, run.log[-2000:]
    return snapshots(folder), run.lines("solver.cpp", "data_layer")


SOLVERS = {
    "SGD": "base_lr: 0.05 momentum: 0.9",
    "SGD without momentum": "base_lr: 0.05",
    "a step": 'base_lr: 0.05 momentum: 0.9 lr_policy: "step" gamma: 0.5 stepsize: 7',
    "many steps": 'base_lr: 0.05 momentum: 0.9 lr_policy: "multistep" gamma: 0.1 stepvalue: 5 stepvalue: 6 stepvalue: 13',
    "a rate of its own each time": 'base_lr: 0.05 momentum: 0.9 lr_policy: "inv" gamma: 0.1 power: 0.75',
    "Nesterov": 'base_lr: 0.05 momentum: 0.9 type: "Nesterov"',
    "AdaGrad": 'base_lr: 0.01 type: "AdaGrad"',
    "RMSProp": 'base_lr: 0.01 type: "RMSProp"',
    "AdaDelta": 'base_lr: 1 momentum: 0.9 type: "AdaDelta"',
    "Adam": 'base_lr: 0.01 momentum: 0.9 type: "Adam"',
    "clipped": "base_lr: 0.05 momentum: 0.9 clip_gradients: 2",
    "three batches": "base_lr: 0.05 momentum: 0.9 iter_size: 3",
    "an average": "base_lr: 0.05 momentum: 0.9 average_loss: 5",
    "L1": 'base_lr: 0.05 momentum: 0.9 regularization_type: "L1"',
}


@pytest.mark.parametrize("solver", SOLVERS.values(), ids=SOLVERS.keys())
@pytest.mark.parametrize("flags", [("--step=static",), ("--step=static", "--data=resident")], ids=" ".join)
def test_a_static_run_writes_the_bytes_and_the_losses_of_a_plain_one(tmp_path, small_data, solver, flags) -> None:
    """Weights, history, random state at 10 and 20, each iteration's loss; crop, mirror and dropout included."""
    solver = solver.replace("lr_policy", "LR_POLICY") if "lr_policy" in solver else f'{solver} LR_POLICY: "fixed"'
    run = small.RUN.replace('lr_policy: "fixed" ', "")
    outcomes = []
    for name, more in (("plain", ()), ("static", flags)):
        folder = small.experiment(tmp_path / name, small_data, "")
        (folder / "solver.prototxt").write_text(f"{run} {solver.replace('LR_POLICY', 'lr_policy')}\n")
        done = runs.ours(folder, *small.TRAIN, *more)
        assert done.code == 0, done.log[-2000:]
        lines = done.lines("loss = ", "lr = ", "clipping", "MultiStep", "Restarting", "Snapshotting")
        outcomes.append((snapshots(folder), lines))
    assert len(outcomes[0][0]) == 6
    assert len(outcomes[0][1]) > 40
    assert outcomes[1] == outcomes[0]
