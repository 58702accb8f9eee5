"""pycaffe's Net, with its names, arguments and errors.

The arrays of blobs are the net's own memory, in Caffe's order, also after later passes: see common/host_arrays.py. What
ends the process in pycaffe, a failed CHECK, raises FormatError here.

Source followed: BVLC Caffe's python/caffe/pycaffe.py and _caffe.cpp.
"""

from collections import OrderedDict
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from caffeformat import FormatError
from caffeformat.caffeformat_pb2 import NetState, Phase
from torchcaffe.common import forks, host_arrays, log
from torchcaffe.common.blob import Blob
from torchcaffe.common.unpicklable import Unpicklable
from torchcaffe.layer_types import Layer as CoreLayer
from torchcaffe.layer_types import known_types
from torchcaffe.layer_types.memory_data import MemoryData
from torchcaffe.layer_types.python import Python
from torchcaffe.layer_types.python import UserLayer as Layer
from torchcaffe.nets import reader
from torchcaffe.nets.net import Net as CoreNet
from torchcaffe.snapshots import hdf5, weights

Arrays = dict[str, np.ndarray]


class CannotOpenError(FormatError, RuntimeError):
    """A file that is not there, or that may not be read: a RuntimeError in pycaffe."""


def check_file(path: str | Path) -> None:
    """Raises CannotOpenError unless `path` can be read."""
    try:
        with open(path, "rb"):
            pass
    except OSError as error:
        raise CannotOpenError(f"Could not open file {path}: {error.strerror}") from None


class Net(Unpicklable):
    """`Net(network_file, phase, level=0, stages=None, weights=None)`, or the old `Net(network_file, weights, phase)`.

    `phase` is caffe.TRAIN or caffe.TEST. Raises FormatError. `core` is the net itself.
    """

    def __init__(
        self,
        network_file: str | Path,
        *args: Any,
        phase: int | None = None,
        level: int = 0,
        stages: list[str] | None = None,
        weights: str | Path | None = None,
    ):
        log.enable_for_script()
        forks.prepare()
        named: dict[str, Any] = {"phase": phase, "level": level, "stages": stages, "weights": weights}
        named |= dict(zip(_argument_names(args), args, strict=True))
        if named["phase"] is None:
            raise TypeError("Net() needs a phase: caffe.TRAIN or caffe.TEST")
        if args and isinstance(args[0], str | Path):
            _warn_of_old_form(network_file, named["weights"], named["phase"])
        self._load(network_file, **named)

    def _load(
        self,
        network_file: str | Path,
        phase: int,
        level: int,
        stages: list[str] | None,
        weights: str | Path | None,
    ) -> None:
        check_file(network_file)
        if weights is not None:
            check_file(weights)
        parsed = reader.read(network_file)
        state = NetState()
        state.CopyFrom(parsed.param.state)
        state.MergeFrom(NetState(phase=Phase.Name(phase), level=level, stage=stages or []))
        self.core = CoreNet(parsed, state)
        if weights is not None:
            self.copy_from(weights)

    @classmethod
    def of(cls, core: CoreNet) -> "Net":
        """A `Net` around an existing net."""
        net = cls.__new__(cls)
        net.core = core
        return net

    # What the net has

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
    def layer_dict(self) -> "OrderedDict[str, CoreLayer | Layer]":
        return OrderedDict(zip(self._layer_names, self.layers, strict=True))

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
    def top_names(self) -> "OrderedDict[str, list[str]]":
        return self._names_by_layer(self.core.tops)

    @property
    def bottom_names(self) -> "OrderedDict[str, list[str]]":
        return self._names_by_layer(self.core.bottoms)

    def _names_by_layer(self, blobs: list[list[Blob]]) -> "OrderedDict[str, list[str]]":
        names = [[blob.name for blob in of_layer] for of_layer in blobs]
        return OrderedDict(zip(self._layer_names, names, strict=True))

    @property
    def _layer_names(self) -> list[str]:
        return [layer.name for layer in self.core.layers]

    @property
    def _blob_names(self) -> list[str]:
        return [blob.name for blob in self.core.blobs]

    @property
    def _blobs(self) -> list[Blob]:
        return self.core.blobs

    @property
    def _blob_loss_weights(self) -> list[float]:
        return list(self.blob_loss_weights.values())

    @property
    def _inputs(self) -> list[int]:
        return [self._blob_names.index(name) for name in self.inputs]

    @property
    def _outputs(self) -> list[int]:
        return [self._blob_names.index(name) for name in self.outputs]

    def _top_ids(self, layer: int) -> list[int]:
        return [self._blob_names.index(blob.name) for blob in self.core.tops[layer]]

    def _bottom_ids(self, layer: int) -> list[int]:
        return [self._blob_names.index(blob.name) for blob in self.core.bottoms[layer]]

    # Passes

    def _forward(self, start: int, end: int) -> float:
        """Runs the layers with the indices from `start` to `end` (included), each for its bottoms' present shapes, and
        returns the loss."""
        with host_arrays.synced(self.core.blobs):
            loss = float(self.core.forward(start, end, reshapes=True))
            if end < len(self.layers) - 1:
                self.core.settle_values(start, end)
            return loss

    def _backward(self, start: int, end: int) -> None:
        """Runs the backward passes of the layers with the indices from `start` down to `end` (included)."""
        with host_arrays.synced(self.core.blobs):
            self.core.backward(start, end)
            if end > 0:
                self.core.settle_gradients(start, end)

    def forward(
        self, blobs: list[str] | None = None, start: str | None = None, end: str | None = None, **inputs: np.ndarray
    ) -> Arrays:
        """Sets the net's inputs and runs the layers from `start` to `end`. Without `inputs`, they stay as they are.

        Returns the outputs of the net (with `end`: of that layer) and the blobs named in `blobs`. Raises ValueError
        unless `inputs` are all the net's inputs, each an array that numpy can broadcast to the blob's shape.
        """
        first = 0 if start is None else self._index(start)
        last = len(self.layers) - 1 if end is None else self._index(end)
        outputs = self.outputs if end is None else self.top_names[end]
        self._assign("Input", inputs, self.inputs)
        self._forward(first, last)
        return {name: self._blob(name).data for name in [*outputs, *(blobs or [])]}

    def backward(
        self, diffs: list[str] | None = None, start: str | None = None, end: str | None = None, **top_diffs: np.ndarray
    ) -> Arrays:
        """Sets the gradients of the net's outputs and runs the backward passes from layer `start` down to `end`.

        Returns the gradients of the net's inputs (with `end`: of that layer's bottoms) and of the blobs in `diffs`. As
        in pycaffe, gradients of parameters are added to the earlier ones; `clear_param_diffs` sets them to zero. Raises
        ValueError unless `top_diffs` are of all the net's outputs, as `forward` does.
        """
        first = len(self.layers) - 1 if start is None else self._index(start)
        last = 0 if end is None else self._index(end)
        names = self.inputs if end is None else self.bottom_names[end]
        self._assign("Top diff", top_diffs, self.outputs)
        self._backward(first, last)
        return {name: self._blob(name).diff for name in [*names, *(diffs or [])]}

    def forward_all(self, blobs: list[str] | None = None, **inputs: np.ndarray) -> Arrays:
        """As `forward`, for any number of images: in batches of the net's size, the last one padded with zeros."""
        pieces: dict[str, list[np.ndarray]] = {name: [] for name in [*self.outputs, *(blobs or [])]}
        for batch in self._batch(inputs):
            _collect(pieces, self.forward(blobs, None, None, **batch))
        return _joined(pieces, _count(inputs))

    def forward_backward_all(
        self, blobs: list[str] | None = None, diffs: list[str] | None = None, **arrays: np.ndarray
    ) -> tuple[Arrays, Arrays]:
        """As `forward` and then `backward`, for any number of images. `arrays` are inputs, and gradients of outputs.

        Returns the outputs and `blobs`, and the gradients of the inputs and of `diffs`.
        """
        forward = list(self._batch({name: arrays[name] for name in self.inputs if name in arrays}))
        backward = list(self._batch({name: arrays[name] for name in self.outputs if name in arrays}))
        values: dict[str, list[np.ndarray]] = {}
        gradients: dict[str, list[np.ndarray]] = {}
        for index in range(max(len(forward), len(backward))):
            given = forward[index] if index < len(forward) else {}
            _collect(values, self.forward(blobs, None, None, **given))
            given = backward[index] if index < len(backward) else {}
            _collect(gradients, self.backward(diffs, None, None, **given))
        count = _count(arrays)
        return _joined(values, count), _joined(gradients, count)

    def _assign(self, kind: str, given: Mapping[str, np.ndarray], wanted: list[str]) -> None:
        if not given:
            return
        if given.keys() != set(wanted):
            names = f"given are {', '.join(sorted(given))}; the net has {', '.join(wanted) or 'none'}"
            raise ValueError(f"{kind} blob arguments do not match net {kind.split()[0].lower()}s: {names}")
        for name, array in given.items():
            blob, shape = self._blob(name), np.shape(array)
            if blob.shape and (not shape or shape[0] != blob.shape[0]):
                raise ValueError(f"{kind} is not batch sized: '{name}' is {shape}, the blob {blob.shape}")
            try:
                (blob.data if kind == "Input" else blob.diff)[...] = array
            except ValueError as error:
                raise ValueError(f"{kind} '{name}': {error}; a blob's axes are N, C, H, W") from None

    def _batch(self, arrays: Mapping[str, np.ndarray]) -> Iterator[Arrays]:
        """`arrays` in pieces of the net's batch size, that of its first blob."""
        if not arrays:
            return
        count, size = len(next(iter(arrays.values()))), self.core.blobs[0].shape[0]
        for start in range(0, count, size):
            yield {name: _padded(array[start : start + size], size) for name, array in arrays.items()}

    def _index(self, layer: str) -> int:
        if layer not in self._layer_names:
            raise ValueError(f"the net has no layer '{layer}'; its layers: {', '.join(self._layer_names)}")
        return self._layer_names.index(layer)

    def _blob(self, name: str) -> Blob:
        if name not in self.core.by_name:
            raise KeyError(f"the net has no blob '{name}'; its blobs: {', '.join(self._blob_names)}")
        return self.core.by_name[name]

    def before_forward(self, call: Callable[[int], object]) -> None:
        """Calls `call(index)` before each layer of every forward pass; the three others likewise."""
        self.core.before_forward.append(_with_arrays(call))

    def after_forward(self, call: Callable[[int], object]) -> None:
        self.core.after_forward.append(_with_arrays(call))

    def before_backward(self, call: Callable[[int], object]) -> None:
        self.core.before_backward.append(_with_arrays(call))

    def after_backward(self, call: Callable[[int], object]) -> None:
        self.core.after_backward.append(_with_arrays(call))

    def clear_param_diffs(self) -> None:
        with host_arrays.synced():
            self.core.params.clear_gradients()

    def reshape(self) -> None:
        """Computes the shapes of all blobs again, after an input has changed its shape. A forward pass does it too."""
        with host_arrays.synced():
            self.core.reshape()

    # Weights

    def copy_from(self, path: str | Path) -> None:
        """Copies the weights of a caffemodel, binary or HDF5, into the layers of the same names. Raises FormatError."""
        with host_arrays.synced():
            weights.load(self.core, path)

    def load_hdf5(self, path: str | Path) -> None:
        with host_arrays.synced():
            hdf5.load_weights(self.core, path)

    def save(self, path: str | Path) -> None:
        host_arrays.push()
        weights.save(self.core, path)

    def save_hdf5(self, path: str | Path) -> None:
        host_arrays.push()
        hdf5.save_weights(self.core, str(path))

    def set_input_arrays(self, data: np.ndarray, labels: np.ndarray) -> None:
        """Gives the MemoryData layer, which is the net's first, its data (n, C, H, W) and labels (n,) or (n, 1, 1, 1),
        float32. Raises RuntimeError for other arrays, and if there is no such layer."""
        layer = self.core.layers[0]
        if not isinstance(layer, MemoryData):
            raise RuntimeError("set_input_arrays may only be called if the first layer is a MemoryDataLayer")
        layer.reset(data, labels[:, None, None, None] if labels.ndim == 1 else labels)

    def share_with(self, other: "Net") -> None:
        """Uses the weights of `other`, the same memory, in the layers of the same names."""
        with host_arrays.synced():
            self.core.share_params_with(other.core)


def layer_type_list() -> list[str]:
    """The names of all layer types, sorted."""
    return known_types()


def _argument_names(args: tuple[object, ...]) -> list[str]:
    """The names of the positional arguments after the first, in today's form of Net() or in the old one."""
    is_old = bool(args) and isinstance(args[0], str | Path)
    names = ["weights", "phase"] if is_old else ["phase", "level", "stages", "weights"]
    if len(args) > len(names):
        raise TypeError(f"Net() takes at most {len(names) + 1} positional arguments, not {len(args) + 1}")
    return names[: len(args)]


def _warn_of_old_form(network_file: object, weights_file: object, phase: object) -> None:
    log.warning("_caffe.cpp:139", "DEPRECATION WARNING - deprecated use of Python interface")
    log.warning("_caffe.cpp:140", 'Use this instead (with the named "weights" parameter):')
    log.warning("_caffe.cpp:142", f"Net('{network_file}', {phase}, weights='{weights_file}')")


def _with_arrays(call: Callable[[int], object]) -> Callable[[int], None]:
    """`call`, for a script's function: its arrays are up to date when it runs, and what it writes is seen."""

    def run(index: int) -> None:
        host_arrays.refresh()
        call(index)
        host_arrays.push()

    return run


def _collect(pieces: dict[str, list[np.ndarray]], batch: Arrays) -> None:
    for name, array in batch.items():
        pieces.setdefault(name, []).append(np.atleast_1d(array).copy())


def _joined(pieces: dict[str, list[np.ndarray]], count: int) -> Arrays:
    return {name: np.concatenate(arrays)[:count] if arrays else np.array([]) for name, arrays in pieces.items()}


def _count(arrays: Mapping[str, np.ndarray]) -> int:
    """The number of images in `arrays`."""
    if not arrays:
        raise ValueError("the inputs are missing: net.forward_all(data=images)")
    return len(next(iter(arrays.values())))


def _padded(array: np.ndarray, size: int) -> np.ndarray:
    missing = np.zeros((size - len(array), *array.shape[1:]), array.dtype)
    return np.concatenate([array, missing]) if len(missing) else array
