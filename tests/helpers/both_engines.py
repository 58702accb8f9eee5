"""One net in both engines, and how far apart they are: the worst figure of each kind is kept for the parity report."""

import json
import os
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

import torchcaffe as caffe
from tests.helpers.real_caffe import Arrays, RealCaffe

LAYER = 1e-5  # max|a - b| / max|b| of any blob
STEP = 3e-6  # of weights and history after one step

# Sets the given parameters and inputs, runs the net there and back, and gives every blob's data and diff.
REAL = """
caffe.set_mode_cpu()
caffe.set_random_seed(given["seed"])
net = caffe.Net(given["path"], given["phase"])
for name, blobs in net.params.items():
    for i, blob in enumerate(blobs):
        if f"param {name} {i}" in given:
            blob.data[...] = given[f"param {name} {i}"]
for name in net.blobs:
    if "in " + name in given:
        net.blobs[name].data[...] = given["in " + name]
net.forward()
for name in net.blobs:
    if "diff " + name in given:
        net.blobs[name].diff[...] = given["diff " + name]
if given["backward"]:
    net.backward()
for name, blob in net.blobs.items():
    out["data " + name], out["diff " + name] = blob.data, blob.diff
for name, blobs in net.params.items():
    for i, blob in enumerate(blobs):
        out[f"param {name} {i}"], out[f"param diff {name} {i}"] = blob.data, blob.diff
"""


class Figures:
    """The worst distance seen of each kind, with its tolerance."""

    def __init__(self) -> None:
        self.worst: dict[str, dict[str, float | int]] = {}

    def note(self, what: str, distance: float, tolerance: float) -> None:
        """Keeps `distance` if it is the worst of `what`; fails the test if it is above the tolerance."""
        row = self.worst.setdefault(what, {"tolerance": tolerance, "worst": 0.0, "comparisons": 0})
        row["comparisons"] += 1
        row["worst"] = max(row["worst"], float(distance))
        assert distance <= tolerance, f"{what}: {distance:.3g} apart; {tolerance:g} is allowed"

    def note_arrays(self, what: str, found: np.ndarray, right: np.ndarray, tolerance: float) -> None:
        assert found.shape == right.shape, f"{what}: {found.shape}, but Caffe has {right.shape}"
        self.note(what, distance(found, right), tolerance)


@pytest.fixture(scope="session")
def figures() -> Iterator[Figures]:
    """Collects over the session; with PARITY_FIGURES=file they are written there, as JSON, for the parity report."""
    figures = Figures()
    yield figures
    if path := os.environ.get("PARITY_FIGURES"):
        Path(path).write_text(json.dumps(figures.worst, indent=1, sort_keys=True) + "\n")


def distance(found: np.ndarray, right: np.ndarray) -> float:
    """max|a - b| / max|b|; of two arrays without a value other than 0, 0."""
    right = np.asarray(right, np.float64)
    apart = np.abs(np.asarray(found, np.float64) - right).max(initial=0)
    return float(apart / (np.abs(right).max(initial=0) or 1)) if np.isfinite(apart) else np.inf


class Both:
    """The net of a prototxt text in both engines, with the same random parameters, inputs and gradients of outputs."""

    def __init__(
        self,
        real: RealCaffe,
        text: str,
        folder: Path,
        phase: int = caffe.TEST,
        backward: bool = True,
        seed: int = 1,
        **inputs: np.ndarray,
    ):
        path = folder / "net.prototxt"
        path.write_text(text)
        caffe.set_mode_cpu()
        caffe.set_random_seed(seed)
        self.net = caffe.Net(path, phase)
        given = self._given(np.random.default_rng(seed), inputs)
        self.right: Arrays = real.run(REAL, path=str(path), phase=phase, seed=seed, backward=backward, **given)
        self.found = self._run(given, backward)

    def _given(self, random: np.random.Generator, inputs: Arrays) -> Arrays:
        given = {}
        for name, blobs in self.net.params.items():
            for index, blob in enumerate(blobs):
                given[f"param {name} {index}"] = random.standard_normal(blob.shape).astype(np.float32)
        for name in self.net.inputs:
            value = inputs.get(name)
            shape = self.net.blobs[name].shape
            given["in " + name] = np.asarray(random.standard_normal(shape) if value is None else value, np.float32)
        for name in self.net.outputs:
            if not self.net.blob_loss_weights[name]:
                shape = self.net.blobs[name].shape
                given["diff " + name] = random.standard_normal(shape).astype(np.float32)
        return given

    def _run(self, given: Arrays, backward: bool) -> Arrays:
        net, out = self.net, {}
        for name, blobs in net.params.items():
            for index, blob in enumerate(blobs):
                blob.data = given[f"param {name} {index}"]
        for name in net.inputs:
            net.blobs[name].data = given["in " + name]
        net.forward()
        for name in net.outputs:
            if "diff " + name in given:
                net.blobs[name].diff = given["diff " + name]
        if backward:
            net.backward()
        for name, blob in net.blobs.items():
            out["data " + name], out["diff " + name] = blob.data, blob.diff
        for name, blobs in net.params.items():
            for index, blob in enumerate(blobs):
                out[f"param {name} {index}"], out[f"param diff {name} {index}"] = blob.data, blob.diff
        return out

    def agree(self, figures: Figures, what: str, tolerance: float = LAYER) -> None:
        """Every blob's data and diff, and every parameter's, as Caffe has it."""
        assert self.found.keys() == self.right.keys()
        kinds = {"data": "outputs", "diff": "bottom gradients", "param": "parameter gradients"}
        for name, right in self.right.items():
            figures.note_arrays(f"{what}: {kinds[name.split()[0]]}", self.found[name], right, tolerance)


def net_of(layers: str, **inputs: tuple[int, ...]) -> str:
    """A prototxt with an Input layer for each of `inputs`, then `layers`; all gradients are computed."""
    heads = "".join(
        f'layer {{ name: "{name}" type: "Input" top: "{name}" input_param {{ shape {{ '
        + " ".join(f"dim: {size}" for size in shape)
        + " } } }\n"
        for name, shape in inputs.items()
    )
    return "force_backward: true\n" + heads + layers
