"""The part of pycaffe that scripts use most: Net, SGDSolver, get_solver, with pycaffe's names and arguments.

Two things differ. The arrays `data` and `diff` of a blob are those of the last pass: get them again after the next one.
After `step`, a parameter's `diff` is its gradient. In pycaffe it is the update.
"""

from collections import OrderedDict
from pathlib import Path

import numpy as np

from caffeformat.caffeformat_pb2 import NetState, Phase, SolverParameter
from torchcaffe.common.blob import Blob
from torchcaffe.layer_types import Layer as CoreLayer
from torchcaffe.layer_types import known_types
from torchcaffe.layer_types.python import Python
from torchcaffe.layer_types.python import UserLayer as Layer
from torchcaffe.nets import reader
from torchcaffe.nets.net import Net as CoreNet
from torchcaffe.snapshots import weights
from torchcaffe.solvers import solver


class Net:
    """`Net(prototxt, phase, weights=None, level=0, stages=None)`, or the old form `Net(prototxt, caffemodel, phase)`.

    `phase` is caffe.TRAIN or caffe.TEST. Raises FormatError. `core` is the net itself.
    """

    def __init__(
        self,
        network_file: str | Path,
        *args: str | Path | int,
        phase: int | None = None,
        weights: str | Path | None = None,
        level: int = 0,
        stages: list[str] | None = None,
    ):
        if len(args) > 2:
            raise TypeError(f"Net() takes at most 3 positional arguments, not {len(args) + 1}")
        for value in args:
            if isinstance(value, str | Path):
                weights = value
            else:
                phase = value
        if phase is None:
            raise TypeError("Net() needs a phase: caffe.TRAIN or caffe.TEST")
        parsed = reader.read(network_file)
        state = NetState()
        state.CopyFrom(parsed.param.state)
        state.MergeFrom(NetState(phase=Phase.Name(phase), level=level, stage=stages))
        self.core = CoreNet(parsed, state)
        if weights:
            self.copy_from(weights)

    @classmethod
    def of(cls, core: CoreNet) -> "Net":
        """A `Net` around an existing net."""
        net = cls.__new__(cls)
        net.core = core
        return net

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
    def layers(self) -> list[CoreLayer | Layer]:
        """A layer in Python is the object of the user's class."""
        return [layer.user if isinstance(layer, Python) else layer for layer in self.core.layers]

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
        """Sets `inputs` and runs the layers from `start` to `end`.

        Returns the outputs of the net (with `end`: of that layer) and the blobs named in `blobs`.
        """
        for name, array in inputs.items():
            self.core.by_name[name].data = array
        first = 0 if start is None else self._layer_names.index(start)
        last = len(self.layers) - 1 if end is None else self._layer_names.index(end)
        self.core.forward(first, last)
        outputs = self.outputs if end is None else [blob.name for blob in self.core.tops[last]]
        return {name: self.core.by_name[name].data for name in [*outputs, *(blobs or [])]}

    def forward_all(self, blobs: list[str] | None = None, **inputs: np.ndarray) -> dict[str, np.ndarray]:
        """As `forward`, for any number of images: in batches of the net's size, the last one padded with zeros."""
        count, size = len(next(iter(inputs.values()))), self.core.by_name[next(iter(inputs))].shape[0]
        pieces: dict[str, list[np.ndarray]] = {}
        for start in range(0, count, size):
            batch = {name: _padded(array[start : start + size], size) for name, array in inputs.items()}
            for name, array in self.forward(blobs, None, None, **batch).items():
                pieces.setdefault(name, []).append(np.atleast_1d(array).copy())
        return {name: np.concatenate(arrays)[:count] for name, arrays in pieces.items()}

    def backward(
        self, diffs: list[str] | None = None, start: str | None = None, end: str | None = None, **top_diffs: np.ndarray
    ) -> dict[str, np.ndarray]:
        """Sets `top_diffs` and runs the backward passes from layer `start` down to `end`.

        Returns the gradients of the net's inputs (with `end`: of that layer's bottoms) and of the blobs in `diffs`. As
        in pycaffe, gradients of parameters are added to the earlier ones; `clear_param_diffs` sets them to zero.
        """
        for name, array in top_diffs.items():
            self.core.by_name[name].diff = array
        first = None if start is None else self._layer_names.index(start)
        last = 0 if end is None else self._layer_names.index(end)
        self.core.backward(first, last)
        inputs = self.inputs if end is None else [blob.name for blob in self.core.bottoms[last]]
        return {name: self.core.by_name[name].diff for name in [*inputs, *(diffs or [])]}

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
    """The solver in the prototxt `path`, with `net`, `test_nets`, `iter`, `step(n)`, `solve()`, `snapshot()`,
    `restore(path)`. `core` is the solver itself."""

    def __init__(self, path: str | Path):
        self.core = solver.Solver(solver.read_solver(path), str(path))
        self.net = Net.of(self.core.net)
        self.test_nets = [Net.of(net) for net in self.core.test_nets]

    @property
    def iter(self) -> int:
        return self.core.iter

    @property
    def param(self) -> SolverParameter:
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
    """The solver that a prototxt describes. Unlike in pycaffe, its class is SGDSolver for every `type`."""
    return SGDSolver(path)


def layer_type_list() -> list[str]:
    """The names of all layer types, sorted."""
    return known_types()


def _padded(array: np.ndarray, size: int) -> np.ndarray:
    missing = np.zeros((size - len(array), *array.shape[1:]), array.dtype)
    return np.concatenate([array, missing]) if len(missing) else array
