"""One solver in both engines on one small net and batch, step by step; and in float64, a truth to be measured from."""

from pathlib import Path

import numpy as np
import torch

import torchcaffe as caffe
from caffeformat import blobs
from caffeformat.caffeformat_pb2 import SolverState
from tests.helpers.both_engines import STEP, Figures
from tests.helpers.real_caffe import Arrays, RealCaffe
from torchcaffe.common import context

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

    def agree(self, figures: Figures, iteration: int, solver: str = "SGD") -> None:
        found, right = self.at("ours", iteration), self.at("real", iteration)
        assert found.keys() == right.keys()
        for name in right:
            figures.note_arrays(f"one step of {solver}: {name.split()[0]}", found[name], right[name], STEP)


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


POLICIES = {
    "step": 'lr_policy: "step" gamma: 0.5 stepsize: 5',
    "exp": 'lr_policy: "exp" gamma: 0.97',
    "inv": 'lr_policy: "inv" gamma: 0.1 power: 0.75',
    "multistep": 'lr_policy: "multistep" gamma: 0.3 stepvalue: 4 stepvalue: 18 stepvalue: 40',
    "poly": 'lr_policy: "poly" power: 2',
    "sigmoid": 'lr_policy: "sigmoid" gamma: 0.2 stepsize: 20',
}
