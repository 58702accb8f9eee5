"""What scripts use of pycaffe: Net, SGDSolver, get_solver. Blobs, params, forward and backward as they are there.

Two things differ. The arrays of blobs and gradients are those of the last pass: ask for them again after the next.
After a step a parameter's `diff` is its gradient; pycaffe's is by then the update.
"""

from collections import OrderedDict
from pathlib import Path

import numpy as np

from caffeformat.caffeformat_pb2 import NetState
from torchcaffe.common.blob import Blob
from torchcaffe.layer_types import known_types
from torchcaffe.nets import parsed_net
from torchcaffe.nets.net import Net as CoreNet
from torchcaffe.snapshots import weights
from torchcaffe.solvers import solver


class Net:
    """`Net(prototxt, phase, weights=None, level=0, stages=None)`, or `Net(prototxt, caffemodel, phase)` as of old."""

    def __init__(
        self,
        model: str | Path,
        *old: object,
        phase: int | None = None,
        weights: str | None = None,
        level: int = 0,
        stages: list[str] | None = None,
    ):
        if len(old) == 2:
            weights, phase = old
        elif len(old) == 1:
            phase = old[0]
        source = parsed_net.read(model)
        state = NetState()
        state.CopyFrom(source.param.state)
        state.phase, state.level = phase, level
        state.stage.extend(stages or [])
        self.core = CoreNet(source, state)
        if weights:
            self.copy_from(weights)

    @classmethod
    def of(cls, core: CoreNet) -> "Net":
        """The face of a net that is there already."""
        face = cls.__new__(cls)
        face.core = core
        return face

    @property
    def name(self) -> str:
        return self.core.name

    @property
    def blobs(self) -> "OrderedDict[str, Blob]":
        return OrderedDict((blob.name, blob) for blob in self.core.blobs)

    @property
    def params(self) -> "OrderedDict[str, list[Blob]]":
        return OrderedDict((layer.name, layer.blobs) for layer in self.core.layers if layer.blobs)

    @property
    def layers(self) -> list:
        return self.core.layers

    @property
    def inputs(self) -> list[str]:
        return self.core.inputs

    @property
    def outputs(self) -> list[str]:
        return self.core.outputs

    @property
    def blob_loss_weights(self) -> "OrderedDict[str, float]":
        return OrderedDict((blob.name, self.core.loss_weights[blob.name]) for blob in self.core.blobs)

    @property
    def _layer_names(self) -> list[str]:
        return [layer.name for layer in self.core.layers]

    def forward(
        self, blobs: list[str] | None = None, start: str | None = None, end: str | None = None, **inputs: np.ndarray
    ) -> dict[str, np.ndarray]:
        """Sets `inputs`, runs the layers from `start` to `end`; gives the outputs (those of `end`) and `blobs`."""
        for name, array in inputs.items():
            self.core.by_name[name].data = array
        first = 0 if start is None else self._layer_names.index(start)
        last = None if end is None else self._layer_names.index(end)
        self.core.forward(first, last)
        wanted = self.outputs if end is None else [blob.name for blob in self.core.tops[last]]
        return {name: self.core.by_name[name].data for name in [*wanted, *(blobs or [])]}

    def forward_all(self, blobs: list[str] | None = None, **inputs: np.ndarray) -> dict[str, np.ndarray]:
        """As `forward` for any number of images: in batches of the net's size, the last one filled up with zeros."""
        count, size = len(next(iter(inputs.values()))), self.core.by_name[next(iter(inputs))].shape[0]
        pieces: dict[str, list[np.ndarray]] = {}
        for start in range(0, count, size):
            batch = {name: _filled_up(array[start : start + size], size) for name, array in inputs.items()}
            for name, array in self.forward(blobs, **batch).items():
                pieces.setdefault(name, []).append(np.atleast_1d(array).copy())
        return {name: np.concatenate(arrays)[:count] for name, arrays in pieces.items()}

    def backward(
        self, diffs: list[str] | None = None, start: str | None = None, end: str | None = None, **top_diffs: np.ndarray
    ) -> dict[str, np.ndarray]:
        """Sets `top_diffs`, runs the gradients from `start` down to `end`; gives those of the inputs and `diffs`.

        As in pycaffe, the gradients of parameters are added to what is there; `clear_param_diffs` forgets it.
        """
        for name, array in top_diffs.items():
            self.core.by_name[name].diff = array
        first = None if start is None else self._layer_names.index(start)
        last = 0 if end is None else self._layer_names.index(end)
        self.core.backward(first, last)
        wanted = self.inputs if end is None else [blob.name for blob in self.core.bottoms[last]]
        return {name: self.core.by_name[name].diff for name in [*wanted, *(diffs or [])]}

    def clear_param_diffs(self) -> None:
        self.core.params.clear_gradients()

    def reshape(self) -> None:
        self.core.reshape()

    def copy_from(self, path: str | Path) -> None:
        weights.load(self.core, path)

    def save(self, path: str | Path) -> None:
        weights.save(self.core, path)

    def share_with(self, other: "Net") -> None:
        self.core.share_params_with(other.core)


class SGDSolver:
    """`net`, `test_nets`, `iter`, `step(n)`, `solve()`, `snapshot()`, `restore(path)`."""

    def __init__(self, path: str | Path):
        self.core = solver.Solver(solver.read_solver(path), str(path))
        self.net = Net.of(self.core.net)
        self.test_nets = [Net.of(net) for net in self.core.test_nets]

    @property
    def iter(self) -> int:
        return self.core.iter

    @property
    def param(self) -> object:
        return self.core.param

    def step(self, iterations: int) -> None:
        self.core.step(iterations)

    def solve(self, snapshot: str | None = None) -> None:
        if snapshot:
            self.core.restore(snapshot)
        self.core.solve()

    def snapshot(self) -> None:
        self.core.snapshot()

    def restore(self, path: str) -> None:
        self.core.restore(path)


def get_solver(path: str | Path) -> SGDSolver:
    """The solver that a prototxt describes, of whatever type it says."""
    return SGDSolver(path)


def layer_type_list() -> list[str]:
    return known_types()


def _filled_up(array: np.ndarray, size: int) -> np.ndarray:
    missing = np.zeros((size - len(array), *array.shape[1:]), array.dtype)
    return np.concatenate([array, missing]) if len(missing) else array
