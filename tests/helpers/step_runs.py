"""Runs of the small net with each solver, as they are asked to be equal whichever way their steps are run."""

from pathlib import Path

from tests.helpers import engine_runs, small_net

STATIC = "--step=static"
ACCURACY = """
layer { name: "hits" type: "Accuracy" bottom: "ip" bottom: "label" top: "hits" top: "of each" }
"""
TESTS = "test_iter: 3 test_interval: 5"
LOSSES = ("loss = ", "lr = ", "clipping", "MultiStep", "Restarting", "Snapshotting")

SOLVERS = {
    "SGD": "base_lr: 0.05 momentum: 0.9",
    "SGD without momentum": "base_lr: 0.05",
    "a step": 'base_lr: 0.05 momentum: 0.9 lr_policy: "step" gamma: 0.5 stepsize: 7',
    "many steps": 'base_lr: 0.05 momentum: 0.9 lr_policy: "multistep" gamma: 0.1 stepvalue: 5 stepvalue: 6',
    "a new rate each time": 'base_lr: 0.05 momentum: 0.9 lr_policy: "inv" gamma: 0.1 power: 0.75',
    "Nesterov": 'base_lr: 0.05 momentum: 0.9 type: "Nesterov"',
    "AdaGrad": 'base_lr: 0.01 type: "AdaGrad"',
    "RMSProp": 'base_lr: 0.01 type: "RMSProp"',
    "AdaDelta": 'base_lr: 1 momentum: 0.9 type: "AdaDelta"',
    "Adam": 'base_lr: 0.01 momentum: 0.9 type: "Adam"',
    "clipped": "base_lr: 0.05 momentum: 0.9 clip_gradients: 2",
    "three batches": "base_lr: 0.05 momentum: 0.9 iter_size: 3",
    "an average": "base_lr: 0.05 momentum: 0.9 average_loss: 5",
    "with snapshot_diff": "base_lr: 0.05 momentum: 0.9 snapshot_diff: true",
    "L1": 'base_lr: 0.05 momentum: 0.9 regularization_type: "L1"',
    "with tests": f"base_lr: 0.05 momentum: 0.9 {TESTS}",
}


def outcome(folder: Path, *flags: str) -> tuple[dict[str, bytes], list[str]]:
    """The snapshots of a run, with what lies beside them, and what it logged of each iteration."""
    run = engine_runs.ours(folder, *flags)
    assert run.code == 0, run.log[-2000:]
    return {path.name: path.read_bytes() for path in folder.glob("out_iter_*")}, run.lines(*LOSSES, "net output")


def solver_text(settings: str) -> str:
    """`small_net.RUN` with `settings`, which may name another policy."""
    return small_net.RUN.replace('lr_policy: "fixed"', "") if "lr_policy" in settings else small_net.RUN


def experiment(folder: Path, data: Path, settings: str, layers: str = "") -> Path:
    small_net.experiment(folder, data, "")
    (folder / "solver.prototxt").write_text(f"{solver_text(settings)} {settings}\n")
    (folder / "net.prototxt").write_text(small_net.NET + layers)
    return folder
