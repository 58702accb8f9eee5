"""SGD against real Caffe: one step of every policy and setting, twenty steps beside a trajectory in float64."""

from pathlib import Path

import numpy as np
import pytest

import torchcaffe as caffe
from caffeformat import FormatError
from caffeformat.caffeformat_pb2 import SolverState
from tests.helpers.both_engines import Figures, distance
from tests.helpers.real_caffe import CaffeAborted
from tests.helpers.solver_steps import NET, POLICIES, Steps, in_float64

BASE = 'base_lr: 0.1 momentum: 0.9 weight_decay: 0.01 lr_policy: "fixed" max_iter: 50 '
SETTINGS = {
    "plain": 'base_lr: 0.1 lr_policy: "fixed"',
    "momentum": 'base_lr: 0.1 momentum: 0.9 lr_policy: "fixed"',
    "weight decay without momentum": 'base_lr: 0.1 weight_decay: 0.1 lr_policy: "fixed"',
    "L2": BASE,
    "L1": BASE + 'regularization_type: "L1"',
    "L1 without momentum": 'base_lr: 0.1 weight_decay: 0.1 lr_policy: "fixed" regularization_type: "L1"',
    "L1 without decay": 'base_lr: 0.1 momentum: 0.9 lr_policy: "fixed" regularization_type: "L1"',
    "another type without decay": 'base_lr: 0.1 momentum: 0.9 lr_policy: "fixed" regularization_type: "L3"',
    "iter_size": BASE + "iter_size: 3",
    "clipped": BASE + "clip_gradients: 0.3",
    "clipped, with iter_size": BASE + "clip_gradients: 0.5 iter_size: 2",
    "not clipped": BASE + "clip_gradients: 1000",
}


@pytest.mark.parametrize("settings", SETTINGS.values(), ids=SETTINGS.keys())
def test_a_step_with_and_without_a_history(real_caffe, tmp_path: Path, figures: Figures, settings: str) -> None:
    steps = Steps(real_caffe, tmp_path, settings)
    steps.run(1)
    steps.agree(figures, 1)
    steps.run(1, state=str(tmp_path / "real_iter_1.solverstate"))
    steps.agree(figures, 2)


@pytest.mark.parametrize("iteration", [3, 17, 19])
@pytest.mark.parametrize("policy", POLICIES)
def test_a_step_of_each_policy(real_caffe, tmp_path: Path, figures: Figures, policy: str, iteration: int) -> None:
    settings = BASE.replace('lr_policy: "fixed" ', "") + POLICIES[policy]
    steps = Steps(real_caffe, tmp_path, settings)
    steps.run(1)
    state = str(tmp_path / "real_iter_1.solverstate")
    at = SolverState.FromString(Path(state).read_bytes())
    at.current_step = 1 if policy == "multistep" and iteration > 4 else 0
    at.iter = iteration
    Path(state).write_bytes(at.SerializeToString())
    steps.run(1, state)
    steps.agree(figures, iteration + 1)


def test_an_unknown_regularization_with_decay_is_refused_before_the_first_step(tmp_path: Path, real_caffe) -> None:
    steps = Steps(real_caffe, tmp_path, BASE + 'regularization_type: "L3"')
    with pytest.raises(CaffeAborted, match="Unknown regularization type: L3"):
        steps.run(1)
    with pytest.raises(FormatError, match="Unknown regularization type: L3; L1 or L2"):
        caffe.get_solver(tmp_path / "ours.prototxt")


PLACES = {  # what the solver has on its first line and on its second -> the line that is told, and the text
    ('lr_policy: "fixed"', 'regularization_type: "L3"'): (2, "Unknown regularization type: L3; L1 or L2"),
    ('lr_policy: "fixed"', 'type: "AdaGrad" momentum: 0.9'): (2, "Momentum cannot be used with AdaGrad. Leave out"),
    ('lr_policy: "fixed"', 'type: "RMSProp" rms_decay: 2'): (2, "rms_decay should lie between 0 and 1. It is 2"),
    ('lr_policy: "fixed"', 'type: "NoSolver"'): (2, "Unknown solver type: NoSolver"),
    ("gamma: 0.1", 'lr_policy: "cosine"'): (2, "Unknown learning rate policy: cosine; known policies: fixed, step"),
    ('lr_policy: "step"', "gamma: 0.1"): (1, "lr_policy step needs stepsize: 1 or more"),
    ('lr_policy: "exp"', "gamma: -0.1"): (2, "lr_policy exp needs a gamma of 0 or more; it is -0.1"),
}


@pytest.mark.parametrize("lines", PLACES, ids=[" ".join(lines) for lines in PLACES])
def test_a_wrong_setting_is_told_with_the_file_and_line_of_the_solver(tmp_path: Path, lines: tuple[str, str]) -> None:
    net = 'layer { name: "x" type: "DummyData" top: "x" dummy_data_param { shape { dim: 1 dim: 2 } } }\n'
    net += 'layer { name: "ip" type: "InnerProduct" bottom: "x" top: "ip" inner_product_param { num_output: 2 } }\n'
    net += 'layer { name: "loss" type: "EuclideanLoss" bottom: "ip" bottom: "x" top: "loss" }\n'
    (tmp_path / "net.prototxt").write_text(net)
    file, (line, text) = tmp_path / "solver.prototxt", PLACES[lines]
    more = f'net: "{tmp_path}/net.prototxt" base_lr: 0.1 weight_decay: 0.1 max_iter: 1 snapshot_after_train: false'
    file.write_text("\n".join([*lines, more]))
    with pytest.raises(FormatError) as told:
        caffe.get_solver(file).step(1)
    assert str(told.value).startswith(f"{file}:{line}: {text}")


def test_a_layer_that_does_not_learn_stays_and_so_does_what_is_below(real_caffe, tmp_path, figures) -> None:
    steps = Steps(real_caffe, tmp_path, BASE, mults="param { lr_mult: 0 } param { lr_mult: 0 }")
    steps.run(3)
    steps.agree(figures, 3)
    assert not steps.at("ours", 3)["history 0"].any()


def test_a_shared_parameter_takes_the_multipliers_of_the_layer_that_gives_them(real_caffe, tmp_path, figures) -> None:
    second = """
layer {{ name: "ip2" type: "InnerProduct" bottom: "ip" top: "ip2" param {{ name: "w" lr_mult: 1 }}
  inner_product_param {{ num_output: 5 weight_filler {{ type: "xavier" }} }} }}
layer {{ name: "ip3" type: "InnerProduct" bottom: "ip2" top: "ip3" param {{ name: "w" decay_mult: 7 }}
  inner_product_param {{ num_output: 5 weight_filler {{ type: "xavier" }} }} }}
layer {{ name: "loss" """
    net = NET.replace('layer {{ name: "loss" ', second.lstrip()).replace('bottom: "ip" bottom', 'bottom: "ip3" bottom')
    steps = Steps(real_caffe, tmp_path, BASE, net=net)
    steps.run(1)
    steps.agree(figures, 1)
    assert len([name for name in steps.at("ours", 1) if name.startswith("history")]) == 7


def test_twenty_steps_are_as_near_to_float64_as_caffes(real_caffe, tmp_path: Path, figures: Figures) -> None:
    """The reference is our own solver in float64. If its rule were not Caffe's, Caffe would be far from it."""
    steps = Steps(real_caffe, tmp_path, BASE.replace("0.1 ", "0.05 ") + "iter_size: 2")
    steps.run(20)
    found, right = steps.at("ours", 20), steps.at("real", 20)
    truth = in_float64(steps, 20)
    ours = [distance(found[name], truth[name]) for name in truth]
    caffes = [distance(right[name], truth[name]) for name in truth]
    figures.note("20 steps: distance of torchcaffe to float64", max(ours), 1e-4)
    figures.note("20 steps: distance of Caffe to float64", max(caffes), 1e-4)
    assert np.mean(ours) <= 1.5 * np.mean(caffes)


@pytest.mark.parametrize("change", [{"momentum": 0.5}, {"weight_decay": 0.2}, {"regularization_type": "L1"}], ids=str)
def test_an_update_that_was_recorded_is_not_replayed_after_a_script_changed_the_solver(
    tmp_path: Path, change: dict[str, object]
) -> None:
    """A CUDA graph holds these numbers."""
    (tmp_path / "net.prototxt").write_text(NET.format(mults=""))
    text = f'net: "{tmp_path}/net.prototxt" base_lr: 0.1 lr_policy: "fixed" momentum: 0.9 weight_decay: 0.01'
    (tmp_path / "solver.prototxt").write_text(text)
    solver = caffe.get_solver(tmp_path / "solver.prototxt")
    before = solver.core.updater.scalars(0.1, 0)
    assert before == solver.core.updater.scalars(0.1, 1)
    for name, value in change.items():
        setattr(solver.param, name, value)
    assert solver.core.updater.scalars(0.1, 2) != before
