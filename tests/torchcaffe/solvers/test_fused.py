"""Fused steps of several parameters: in either order of memory, and again with the next gradients."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch

import torchcaffe as caffe
from tests.helpers.solver_steps import MULTS, NET
from torchcaffe.solvers import fused
from torchcaffe.solvers.fused import FusedSteps


def test_a_step_gives_the_same_in_either_order_of_memory() -> None:
    generator = torch.Generator().manual_seed(3)
    plain = [torch.rand(6, 3, 5, 5, generator=generator) for _ in range(3)]
    laid_out = [tensor.clone(memory_format=torch.channels_last) for tensor in plain]
    for tensors in (plain, laid_out):
        weight, gradient, history = fused._dense(*tensors)
        fused._fused_sgd((0.01, 0.9, 0.95, False), [weight], [gradient], [history])
    for found, right in zip(laid_out, plain, strict=True):
        np.testing.assert_array_equal(found.numpy(), right.numpy())
    assert fused._dense(laid_out[0], plain[1])[0] is laid_out[0]  # which have no common order


def test_a_gradient_whose_axes_of_size_1_have_other_strides_is_taken_as_it_is() -> None:
    """That of a convolution over maps of one channel. The memory is the same, and so are the results."""
    generator = torch.Generator().manual_seed(3)
    weight, gradient, history = (torch.rand(4, 1, 5, 5, generator=generator) for _ in range(3))
    odd = weight.as_strided((4, 1, 5, 5), (25, 1, 5, 1))
    assert fused.lie_alike(odd, gradient) and odd.stride() != gradient.stride()
    assert not fused.lie_alike(torch.rand(4, 3, 5, 5).contiguous(memory_format=torch.channels_last), gradient)
    right = [tensor.clone(memory_format=torch.contiguous_format) for tensor in (weight, history)]
    fused._fused_sgd((0.01, 0.9, 0.95, False), [right[0]], [gradient], [right[1]])
    fused._fused_sgd((0.01, 0.9, 0.95, False), [odd], [gradient], [history])
    np.testing.assert_array_equal(weight.numpy(), right[0].numpy())
    np.testing.assert_array_equal(history.numpy(), right[1].numpy())


def nothing(solver: caffe.SGDSolver) -> None:
    """Between two steps nothing happens."""


def take_weights(solver: caffe.SGDSolver) -> None:
    """A script's array moves the weights, to Caffe's order of memory."""
    solver.net.params["conv"][0].data[0] += 1


def take_gradients(solver: caffe.SGDSolver) -> None:
    solver.net.params["ip"][0].diff[...] = 3


def change_momentum(solver: caffe.SGDSolver) -> None:
    solver.param.momentum = 0.5


def change_decay(solver: caffe.SGDSolver) -> None:
    solver.param.weight_decay = 0.25
    solver.param.regularization_type = "L1"


def sum_batches(solver: caffe.SGDSolver) -> None:
    solver.param.iter_size = 2


def replace_weights(solver: caffe.SGDSolver) -> None:
    blob = solver.net.params["ip"][0]
    blob.value = blob.value.clone() * 2


def restore(solver: caffe.SGDSolver) -> None:
    solver.snapshot()
    solver.restore(f"{solver.param.snapshot_prefix}_iter_{solver.iter}.solverstate")


EVENTS = [nothing, take_weights, take_gradients, change_momentum, change_decay, sum_batches, replace_weights, restore]
SETTINGS = {
    "SGD": "momentum: 0.9 weight_decay: 0.01",
    "a step of the rate": 'lr_policy: "step" gamma: 0.5 stepsize: 6 momentum: 0.9 weight_decay: 0.01',
    "no momentum": "weight_decay: 0.01",
    "L1": 'momentum: 0.9 weight_decay: 0.01 regularization_type: "L1"',
    "clipped": "momentum: 0.9 clip_gradients: 0.1",
    "updates kept": "momentum: 0.9 snapshot_diff: true",
    "Nesterov": 'type: "Nesterov" momentum: 0.9 weight_decay: 0.01',
    "AdaGrad": 'type: "AdaGrad" weight_decay: 0.01',
    "Adam": 'type: "Adam" momentum: 0.9',
}
REPEATED = ["SGD", "a step of the rate"]  # those whose update is fused steps alone


def trained(folder: Path, settings: str, event: Callable[[caffe.SGDSolver], None]) -> list[bytes]:
    """The parameters after 4 x 3 iterations, in whose middle `event` happens. The last of each 3 keeps its updates for
    the script and the next one begins anew: that leaves one that can be done again."""
    (folder / "net.prototxt").write_text(NET.format(mults=MULTS))
    head = f'net: "{folder}/net.prototxt" random_seed: 3 snapshot_prefix: "{folder}/made" base_lr: 0.05 '
    policy = "" if "lr_policy" in settings else 'lr_policy: "fixed" '
    (folder / "solver.prototxt").write_text(head + policy + settings)
    caffe.set_mode_cpu()
    solver = caffe.get_solver(folder / "solver.prototxt")
    random = np.random.default_rng(5)
    for step in range(4):
        solver.net.blobs["x"].data[...] = random.standard_normal((8, 2, 6, 6))
        solver.net.blobs["label"].data[...] = random.integers(0, 5, 8)
        solver.core.step(3)
        if step == 1:
            event(solver)
    return [blob.values().tobytes() for blobs in solver.net.params.values() for blob in blobs]


@pytest.mark.parametrize("event", EVENTS, ids=lambda event: event.__name__)
@pytest.mark.parametrize("settings", SETTINGS)
def test_steps_done_again_are_those_that_each_iteration_would_find(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, settings: str, event: Callable[[caffe.SGDSolver], None]
) -> None:
    again, answers = FusedSteps.again, []
    monkeypatch.setattr(FusedSteps, "again", lambda steps: answers.append(again(steps)) or answers[-1])
    found = trained(tmp_path, SETTINGS[settings], event)
    monkeypatch.setattr(FusedSteps, "again", lambda steps: False)
    assert found == trained(tmp_path, SETTINGS[settings], event)
    if event is nothing:
        assert answers == [True] * 4 if settings in REPEATED else not any(answers)


def test_steps_of_a_net_with_frozen_layers_are_done_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tests.torchcaffe.solvers.test_fused.MULTS", "param { lr_mult: 0 } param { lr_mult: 0 }")
    again, answers = FusedSteps.again, []
    monkeypatch.setattr(FusedSteps, "again", lambda steps: answers.append(again(steps)) or answers[-1])
    trained(tmp_path, SETTINGS["SGD"], nothing)
    assert answers == [True] * 4


@pytest.mark.parametrize("settings", ["SGD", "Nesterov", "L1"])
def test_after_an_update_that_was_interrupted_the_next_one_is_done(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, settings: str
) -> None:
    def interrupt(solver: caffe.SGDSolver) -> None:
        solver.core.keeps_updates = False
        solver.core.step(2)
        replace_weights(solver)  # so that each parameter is looked at again
        with monkeypatch.context() as patch:
            patch.setattr(solver.core.updater, "_histories", stop)
            with pytest.raises(KeyboardInterrupt):
                solver.core.step(1)
        before = solver.net.params["ip"][0].values().copy()
        solver.core.step(1)
        assert (solver.net.params["ip"][0].values() != before).any()

    def stop(index: int, weight: torch.Tensor) -> list[torch.Tensor]:
        raise KeyboardInterrupt

    trained(tmp_path, SETTINGS[settings], interrupt)
