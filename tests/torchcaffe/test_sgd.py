"""SGD against real Caffe: one step of every policy and setting, twenty steps beside a trajectory in float64."""

from pathlib import Path

import numpy as np
import pytest
import torch
from parity import STEP, Figures, distance
from real_caffe import Arrays, RealCaffe

import torchcaffe as caffe
from caffeformat import blobs
from caffeformat.caffeformat_pb2 import SolverState
from torchcaffe import context, snapshot

NET = """
layer {{ name: "x" type: "Input" top: "x" input_param {{ shape {{ dim: 8 dim: 2 dim: 6 dim: 6 }} }} }}
layer {{ name: "label" type: "Input" top: "label" input_param {{ shape {{ dim: 8 }} }} }}
layer {{
  name: "conv" type: "Convolution" bottom: "x" top: "conv" {mults}
  convolution_param {{ num_output: 4 kernel_size: 3 weight_filler {{ type: "xavier" }} bias_filler {{ value: 0.1 }} }}
}}
layer {{ name: "relu" type: "ReLU" bottom: "conv" top: "conv" }}
layer {{
  name: "ip" type: "InnerProduct" bottom: "conv" top: "ip" param {{ lr_mult: 1 }} param {{ lr_mult: 2 decay_mult: 0 }}
  inner_product_param {{ num_output: 5 weight_filler {{ type: "xavier" }} }}
}}
layer {{ name: "loss" type: "SoftmaxWithLoss" bottom: "ip" bottom: "label" top: "loss" }}
"""
MULTS = "param { lr_mult: 0.5 decay_mult: 3 } param { lr_mult: 2 decay_mult: 0 }"

REAL = """
caffe.set_mode_cpu()
solver = caffe.get_solver(given["solver"])
if given["state"]:
    solver.restore(given["state"])
solver.net.blobs["x"].data[...] = given["x"]
solver.net.blobs["label"].data[...] = given["label"]
solver.step(given["steps"])
solver.snapshot()
"""


class Steps:
    """One solver in both engines, on one batch."""

    def __init__(self, real: RealCaffe, folder: Path, settings: str, mults: str = MULTS, net: str = NET):
        self.real, self.folder = real, folder
        random = np.random.default_rng(5)
        self.batch = {"x": random.standard_normal((8, 2, 6, 6)).astype(np.float32) * 3}
        self.batch["label"] = random.integers(0, 5, 8).astype(np.float32)
        (folder / "net.prototxt").write_text(net.format(mults=mults))
        for engine in ("real", "ours"):
            text = f'net: "{folder}/net.prototxt" random_seed: 3 solver_mode: CPU snapshot_prefix: "{folder}/{engine}" '
            (folder / f"{engine}.prototxt").write_text(text + settings)

    def run(self, steps: int, state: str = "") -> None:
        """Both engines make `steps` steps, from the beginning or from a solverstate, and snapshot."""
        self.real.run(REAL, solver=str(self.folder / "real.prototxt"), state=state, steps=steps, **self.batch)
        caffe.set_mode_cpu()
        solver = caffe.get_solver(self.folder / "ours.prototxt")
        if state:
            solver.restore(state)
        for name, array in self.batch.items():
            solver.net.blobs[name].data = array
        solver.step(steps)
        solver.snapshot()

    def at(self, engine: str, iteration: int) -> Arrays:
        """Weights and history of a snapshot."""
        model = self.folder / f"{engine}_iter_{iteration}.caffemodel"
        state = SolverState.FromString(model.with_suffix(".solverstate").read_bytes())
        arrays = {f"history {i}": blobs.blob_to_array(blob) for i, blob in enumerate(state.history)}
        for name, values in blobs.read_caffemodel(model).items():
            arrays |= {f"weights {name} {i}": array for i, array in enumerate(values)}
        return arrays

    def agree(self, figures: Figures, iteration: int) -> None:
        found, right = self.at("ours", iteration), self.at("real", iteration)
        assert found.keys() == right.keys()
        for name in right:
            figures.note_arrays(f"one step of SGD: {name.split()[0]}", found[name], right[name], STEP)


BASE = 'base_lr: 0.1 momentum: 0.9 weight_decay: 0.01 lr_policy: "fixed" max_iter: 50 '
SETTINGS = {
    "plain": 'base_lr: 0.1 lr_policy: "fixed"',
    "momentum": 'base_lr: 0.1 momentum: 0.9 lr_policy: "fixed"',
    "weight decay without momentum": 'base_lr: 0.1 weight_decay: 0.1 lr_policy: "fixed"',
    "L2": BASE,
    "L1": BASE + 'regularization_type: "L1"',
    "L1 without momentum": 'base_lr: 0.1 weight_decay: 0.1 lr_policy: "fixed" regularization_type: "L1"',
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


POLICIES = {
    "step": 'lr_policy: "step" gamma: 0.5 stepsize: 5',
    "exp": 'lr_policy: "exp" gamma: 0.97',
    "inv": 'lr_policy: "inv" gamma: 0.1 power: 0.75',
    "multistep": 'lr_policy: "multistep" gamma: 0.3 stepvalue: 4 stepvalue: 18 stepvalue: 40',
    "poly": 'lr_policy: "poly" power: 2',
    "sigmoid": 'lr_policy: "sigmoid" gamma: 0.2 stepsize: 20',
}


@pytest.mark.parametrize("iteration", [3, 17, 19])
@pytest.mark.parametrize("policy", POLICIES)
def test_a_step_of_each_policy(real_caffe, tmp_path: Path, figures: Figures, policy: str, iteration: int) -> None:
    settings = BASE.replace('lr_policy: "fixed" ', "") + POLICIES[policy]
    steps = Steps(real_caffe, tmp_path, settings)
    steps.run(1)
    state = str(tmp_path / "real_iter_1.solverstate")
    at = SolverState.FromString(Path(state).read_bytes())
    passed = 1 if policy == "multistep" and iteration > 4 else 0
    history = [blobs.blob_to_array(blob) for blob in at.history]
    snapshot.write_state(state, iteration, passed, at.learned_net, history)
    steps.run(1, state)
    steps.agree(figures, iteration + 1)


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
    """The truth is our own solver in float64: were it another rule than Caffe's, Caffe would be far from it."""
    steps = Steps(real_caffe, tmp_path, BASE.replace("0.1 ", "0.05 ") + "iter_size: 2")
    steps.run(20)
    found, right = steps.at("ours", 20), steps.at("real", 20)
    truth = in_float64(steps, 20)
    ours = [distance(found[name], truth[name]) for name in truth]
    caffes = [distance(right[name], truth[name]) for name in truth]
    figures.note("20 steps: distance of torchcaffe to float64", max(ours), 1e-4)
    figures.note("20 steps: distance of Caffe to float64", max(caffes), 1e-4)
    assert np.mean(ours) <= 1.5 * np.mean(caffes)


def in_float64(steps: Steps, count: int) -> Arrays:
    """Weights and history after `count` steps of our solver in float64, from the same float32 beginning."""
    caffe.set_mode_cpu()
    context.current().dtype = torch.float64
    try:
        solver = caffe.get_solver(steps.folder / "ours.prototxt")
    finally:
        context.current().dtype = torch.float32
    for name, array in steps.batch.items():
        solver.net.blobs[name].data = array
    solver.step(count)
    arrays = {f"history {i}": tensor.numpy() for i, tensor in enumerate(solver.core.updater.history)}
    for name, values in solver.net.params.items():
        arrays |= {f"weights {name} {i}": blob.data for i, blob in enumerate(values)}
    return arrays
