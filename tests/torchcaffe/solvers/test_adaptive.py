"""Nesterov, AdaGrad, RMSProp, AdaDelta and Adam against real Caffe: steps, trajectories, solverstates, mistakes."""

from pathlib import Path

import h5py
import numpy as np
import pytest

import torchcaffe
from caffeformat import blobs
from caffeformat.caffeformat_pb2 import NetParameter, SolverState
from tests.helpers import engine_runs
from tests.helpers.both_engines import STEP, Figures, distance
from tests.helpers.real_caffe import RealCaffe
from tests.helpers.small_net import RESUME, RUN, TRAIN, experiment, fatal
from tests.helpers.solver_steps import MULTS, POLICIES, Steps, in_float64

OWN = {
    "Nesterov": "base_lr: 0.02 momentum: 0.9",
    "AdaGrad": "base_lr: 0.02",
    "RMSProp": "base_lr: 0.002 rms_decay: 0.95",
    # A smaller delta would amplify the rounding of small gradients: Caffe's own error is then 3e-6. See
    # FROM_GIVEN_GRADIENTS for a smaller delta with gradients that are the same in both engines.
    "AdaDelta": "base_lr: 1 momentum: 0.95 delta: 1e-3",
    "Adam": "base_lr: 0.002 momentum: 0.9",
}
TWO_HISTORIES = ("AdaDelta", "Adam")
FIXED = 'lr_policy: "fixed" max_iter: 50'
DECAY = f"{FIXED} weight_decay: 0.01"
COMMON = {
    "plain": FIXED,
    "L2": DECAY,
    "L1": f'{DECAY} regularization_type: "L1"',
    "iter_size": f"{DECAY} iter_size: 3",
    "clipped": f"{DECAY} clip_gradients: 0.3",
    "clipped, with iter_size": f"{DECAY} clip_gradients: 0.5 iter_size: 2",
    "not clipped": f"{DECAY} clip_gradients: 1000",
}
SPECIAL = {
    "Nesterov without momentum": ("Nesterov", f"base_lr: 0.05 {DECAY}"),
    "AdaGrad, delta": ("AdaGrad", f"base_lr: 0.05 delta: 0.01 {DECAY}"),
    "RMSProp as it is by default": ("RMSProp", f"base_lr: 0.002 {DECAY}"),
    "RMSProp, delta, without a mean": ("RMSProp", f"base_lr: 0.002 rms_decay: 0 delta: 0.1 {DECAY}"),
    "AdaDelta without momentum": ("AdaDelta", f"base_lr: 0.5 delta: 1e-2 {DECAY}"),
    "Adam without momentum": ("Adam", f"base_lr: 0.002 {DECAY}"),
    "Adam, momentum2 and delta": ("Adam", f"base_lr: 0.002 momentum: 0.5 momentum2: 0.9 delta: 0.001 {DECAY}"),
}


def settings_of(solver: str, common: str = DECAY) -> str:
    return f'type: "{solver}" {OWN[solver]} {common}'


@pytest.mark.parametrize("common", COMMON.values(), ids=COMMON.keys())
@pytest.mark.parametrize("solver", OWN)
def test_a_step_from_nothing_and_one_from_a_solverstate_of_either_engine(
    real_caffe, tmp_path: Path, figures: Figures, solver: str, common: str
) -> None:
    steps_from_each_engine(Steps(real_caffe, tmp_path, settings_of(solver, common)), figures, solver)


@pytest.mark.parametrize(("solver", "settings"), SPECIAL.values(), ids=SPECIAL.keys())
def test_a_step_with_settings_of_its_own(real_caffe, tmp_path, figures: Figures, solver: str, settings: str) -> None:
    steps_from_each_engine(Steps(real_caffe, tmp_path, f'type: "{solver}" {settings}'), figures, solver)


def steps_from_each_engine(steps: Steps, figures: Figures, solver: str) -> None:
    steps.run(1)
    steps.agree(figures, 1, solver)
    for engine in ("ours", "real"):
        steps.run(1, state=str(steps.folder / f"{engine}_iter_1.solverstate"))
        steps.agree(figures, 2, solver)
    learnable = 4
    count = sum(name.startswith("history") for name in steps.at("ours", 2))
    assert count == learnable * (2 if solver in TWO_HISTORIES else 1)


@pytest.mark.parametrize("policy", POLICIES)
@pytest.mark.parametrize("solver", OWN)
def test_a_step_of_each_policy(real_caffe, tmp_path: Path, figures: Figures, solver: str, policy: str) -> None:
    """At iteration 17, on which the rate and Adam's correction depend."""
    settings = settings_of(solver, f"max_iter: 50 weight_decay: 0.01 {POLICIES[policy]}")
    steps = Steps(real_caffe, tmp_path, settings)
    steps.run(1)
    state = str(tmp_path / "real_iter_1.solverstate")
    at = SolverState.FromString(Path(state).read_bytes())
    at.iter, at.current_step = 17, int(policy == "multistep")
    Path(state).write_bytes(at.SerializeToString())
    steps.run(1, state)
    steps.agree(figures, 18, solver)


FROM_GIVEN_GRADIENTS = {
    **OWN,
    "AdaGrad": "base_lr: 0.02 delta: 1e-8",
    "AdaDelta": "base_lr: 1 momentum: 0.95 delta: 1e-6",
    "Adam": "base_lr: 0.002 momentum: 0.9 momentum2: 0.999 delta: 1e-8",
}
UPDATES = """
caffe.set_mode_cpu()
solver = caffe.get_solver(given["solver"])
for iteration in range(given["count"]):
    for name, blobs in solver.net.params.items():
        for i, blob in enumerate(blobs):
            blob.diff[...] = given[f"{name} {i} {iteration}"]
    solver.apply_update()
solver.snapshot()
"""


@pytest.mark.parametrize("solver", OWN)
def test_eight_updates_from_given_gradients(real_caffe, tmp_path: Path, figures: Figures, solver: str) -> None:
    """The rule alone, with gradients of sizes from 1e-6 to 1, and 0."""
    steps = eight_updates(real_caffe, tmp_path, f'type: "{solver}" {FROM_GIVEN_GRADIENTS[solver]} {DECAY}')
    found, right = steps.at("ours", 8), steps.at("real", 8)
    for name in right:
        what = f"eight updates of {solver} from given gradients: {name.split()[0]}"
        figures.note_arrays(what, found[name], right[name], STEP)


def eight_updates(real_caffe: RealCaffe, folder: Path, settings: str) -> Steps:
    steps = Steps(real_caffe, folder, settings)
    torchcaffe.set_mode_cpu()
    ours = torchcaffe.get_solver(folder / "ours.prototxt")
    random = np.random.default_rng(2)
    given = {}
    for iteration in range(8):
        for name, values in ours.net.params.items():
            for i, blob in enumerate(values):
                sizes = random.choice([0, 1e-6, 1e-4, 1e-2, 1], blob.shape)
                blob.diff = (random.standard_normal(blob.shape) * sizes).astype(np.float32)
                given[f"{name} {i} {iteration}"] = blob.diff.copy()
        ours.core.updater.apply(ours.core.updater.learning_rate(iteration), iteration)
        ours.core.iter += 1
    ours.snapshot()
    real_caffe.run(UPDATES, solver=str(folder / "real.prototxt"), count=8, **given)
    return steps


@pytest.mark.parametrize("form", ["BINARYPROTO", "HDF5"])
@pytest.mark.parametrize("solver", ["SGD", "SGD without momentum", *OWN])
def test_snapshot_diff_keeps_the_updates(real_caffe, tmp_path: Path, figures: Figures, solver: str, form: str) -> None:
    """The diff in a snapshot is the last update, as in Caffe. SGD is tested with L1, for which its rule differs."""
    more = {"SGD": f'base_lr: 0.02 momentum: 0.9 regularization_type: "L1" {DECAY}', "SGD without momentum":
            f"base_lr: 0.02 {DECAY}"}  # fmt: skip
    settings = more.get(solver) or f"{FROM_GIVEN_GRADIENTS[solver]} {DECAY}"
    settings += f' type: "{solver.split()[0]}" snapshot_diff: true snapshot_format: {form}'
    eight_updates(real_caffe, tmp_path, settings)
    found, right = (diffs(tmp_path, engine, form) for engine in ("ours", "real"))
    assert found.keys() == right.keys()
    assert len(right) == 4
    for name in right:
        figures.note_arrays("eight updates from given gradients: the last one", found[name], right[name], STEP)


def diffs(folder: Path, engine: str, form: str) -> dict[str, np.ndarray]:
    """The gradients in a snapshot's weights: layer and index."""
    if form == "HDF5":
        with h5py.File(folder / f"{engine}_iter_8.caffemodel.h5") as file:
            return {
                f"{name} {index}": blob[()] for name, layer in file["diff"].items() for index, blob in layer.items()
            }
    net = NetParameter.FromString((folder / f"{engine}_iter_8.caffemodel").read_bytes())
    return {
        f"{layer.name} {index}": np.array(blob.diff, np.float32).reshape(tuple(blob.shape.dim))
        for layer in net.layer
        for index, blob in enumerate(layer.blobs)
    }


def test_snapshot_diff_trains_as_without_it(tmp_path: Path, small_data: Path) -> None:
    """With momentum and weight decay, the weights are those of a plain run, within rounding."""
    settings = "base_lr: 0.05 momentum: 0.9 regularization_type: 'L2'"
    weights = []
    for name, more in (("plain", ""), ("diff", "snapshot_diff: true")):
        folder = experiment(tmp_path / name, small_data, f"{settings} {more}")
        assert engine_runs.ours(folder, *TRAIN).code == 0
        weights.append(blobs.read_caffemodel(folder / "out_iter_10.caffemodel"))
    for name in weights[0]:
        for plain, diff in zip(weights[0][name], weights[1][name], strict=True):
            assert distance(diff, plain) < 1e-4


@pytest.mark.parametrize("mults", ["lr_mult: 0", "lr_mult: 0 decay_mult: 0"])
@pytest.mark.parametrize("solver", OWN)
def test_a_layer_that_does_not_learn_stays_and_its_history_is_caffes(
    real_caffe, tmp_path: Path, figures: Figures, solver: str, mults: str
) -> None:
    """Its weight decay still changes the history of the adaptive solvers."""
    steps = Steps(real_caffe, tmp_path, settings_of(solver), mults=f"param {{ {mults} }} " * 2)
    steps.run(2)
    steps.agree(figures, 2, solver)
    assert steps.at("ours", 2)["history 0"].any() == (solver != "Nesterov" and "decay_mult" not in mults)


FROZEN = "param { lr_mult: 0 decay_mult: 0 } " * 2


@pytest.mark.parametrize("solver", OWN)
def test_a_layer_frozen_on_resuming_goes_on_from_its_history_as_in_caffe(
    real_caffe, tmp_path: Path, figures: Figures, solver: str
) -> None:
    """Nesterov's momentum moves the weights, means of squares decay, AdaGrad's sum stays."""
    steps = Steps(real_caffe, tmp_path, settings_of(solver))
    steps.run(1)
    net = tmp_path / "net.prototxt"
    assert MULTS in net.read_text()
    net.write_text(net.read_text().replace(MULTS, FROZEN))
    steps.run(1, state=str(tmp_path / "real_iter_1.solverstate"))
    steps.agree(figures, 2, solver)
    before, after = steps.at("real", 1), steps.at("ours", 2)
    moved = {name for name in before if not np.array_equal(before[name], after[name])}
    assert ("weights conv 0" in moved) == (solver == "Nesterov")
    assert ("history 0" in moved) == (solver != "AdaGrad")


@pytest.mark.parametrize("solver", OWN)
def test_twenty_steps_are_as_near_to_float64_as_caffes(real_caffe, tmp_path, figures: Figures, solver: str) -> None:
    """The reference is our own solver in float64. If its rule were not Caffe's, Caffe would be far from it."""
    steps = Steps(real_caffe, tmp_path, settings_of(solver, f"{DECAY} iter_size: 2"))
    steps.run(20)
    found, right = steps.at("ours", 20), steps.at("real", 20)
    truth = in_float64(steps, 20)
    ours = [distance(found[name], truth[name]) for name in truth]
    caffes = [distance(right[name], truth[name]) for name in truth]
    figures.note(f"20 steps of {solver}: distance of torchcaffe to float64", max(ours), 1e-4)
    figures.note(f"20 steps of {solver}: distance of Caffe to float64", max(caffes), 1e-4)
    assert np.mean(ours) <= 1.5 * np.mean(caffes)


def files(folder: Path, iteration: int) -> list[bytes]:
    return [(folder / f"out_iter_{iteration}.{ending}").read_bytes() for ending in ("caffemodel", "solverstate")]


@pytest.mark.parametrize("solver", OWN)
def test_a_run_has_caffes_log_and_resumed_goes_on_to_the_same_bytes(caffe, small_data, tmp_path, solver: str) -> None:
    """With crop, mirror and dropout: 20 iterations at once equal 10, a snapshot and another 10."""
    settings = f'type: "{solver}" {OWN[solver]}'.replace("base_lr: 1 ", "base_lr: 0.1 ")
    straight = experiment(tmp_path / "straight", small_data, settings)
    right = engine_runs.real(caffe, experiment(tmp_path / "real", small_data, settings), *TRAIN)
    found = engine_runs.ours(straight, *TRAIN)
    assert (right.code, found.code) == (0, 0), found.log[-2000:]
    engine_runs.same(found, right, last_digits=10)
    resumed = experiment(tmp_path / "resumed", small_data, settings)
    for ending in ("caffemodel", "solverstate", "solverstate.torchcaffe"):
        name = f"out_iter_10.{ending}"
        (resumed / name).write_bytes((straight / name).read_bytes())
    again = engine_runs.ours(resumed, *RESUME)
    assert again.code == 0, again.log[-2000:]
    assert files(resumed, 20) == files(straight, 20)
    assert (
        again.lines(" loss = ", "lr = ") == found.lines(" loss = ", "lr = ")[-len(again.lines(" loss = ", "lr = ")) :]
    )


@pytest.mark.parametrize("other", ["SGD", "Adam"])
def test_a_solverstate_of_another_kind_of_history_is_refused_as_in_caffe(
    caffe, small_data, tmp_path, other: str
) -> None:
    """Adam keeps twice as many arrays as SGD."""
    folder = experiment(tmp_path, small_data, f'type: "{other}" base_lr: 0.001 momentum: 0.9')
    assert engine_runs.ours(folder, *TRAIN).code == 0
    mine = "SGD" if other == "Adam" else "Adam"
    (folder / "solver.prototxt").write_text(f'{RUN} type: "{mine}" base_lr: 0.001 momentum: 0.9')
    right, found = engine_runs.real(caffe, folder, *RESUME), engine_runs.ours(folder, *RESUME)
    assert fatal(found) == fatal(right) == "sgd_solver.cpp:334"
    kept, needed = (4, 8) if mine == "Adam" else (8, 4)
    message = f"Incorrect length of history blobs: {kept}; {mine} keeps {needed} for the 4 parameters of this net"
    assert message in found.log


REFUSED = {
    "AdaGrad with momentum": ('type: "AdaGrad" momentum: 0.9', "Momentum cannot be used with AdaGrad."),
    "RMSProp with momentum": ('type: "RMSProp" momentum: 0.9', "Momentum cannot be used with RMSProp."),
    "RMSProp, rms_decay 1": ('type: "RMSProp" rms_decay: 1', "rms_decay should lie between 0 and 1."),
    "RMSProp, rms_decay below 0": ('type: "RMSProp" rms_decay: -0.1', "rms_decay should lie between 0 and 1."),
    "an unknown type": ('type: "NoSuchSolver"', "Unknown solver type: NoSuchSolver (known types: AdaDelta, AdaGrad, "),
    "type and solver_type": ('type: "Adam" solver_type: ADAM', "solver_type (the old field) and type are both given"),
}


@pytest.mark.parametrize(("settings", "message"), REFUSED.values(), ids=REFUSED.keys())
def test_wrong_settings_are_refused_where_caffe_does(caffe, small_data, tmp_path, settings: str, message: str) -> None:
    folder = experiment(tmp_path, small_data, f"base_lr: 0.01 {settings}")
    right, found = engine_runs.real(caffe, folder, *TRAIN), engine_runs.ours(folder, *TRAIN)
    assert fatal(found) == fatal(right)
    assert message in found.log
    places = [[line.split("]")[0] for line in run.lines(".cpp:", ".hpp:") if line[0] == "I"] for run in (found, right)]
    assert places[0] == places[1]
