"""Snapshots of a solver: solverstates for both engines, and a file beside them that makes a resumed run exact.

BVLC Caffe keeps the iteration, the step of the learning rate, the solver's history and the path of the weights. It
begins the data and the random numbers anew when it resumes. `NAME.solverstate.torchcaffe`, a numpy archive that it
knows nothing of, holds what it leaves out: where each data layer stands, the random state, the smoothed loss. It is
bound to its solverstate by a checksum, and without it a run resumes as BVLC Caffe does.
"""

import io
from hashlib import sha256
from pathlib import Path

import numpy as np
from google.protobuf.message import DecodeError

from caffeformat import blobs
from caffeformat.caffeformat_pb2 import SolverState
from torchcaffe.common import log
from torchcaffe.common.files import write_file
from torchcaffe.common.log import Fatal, check
from torchcaffe.nets.net import Net
from torchcaffe.snapshots import hdf5, weights

State = dict[str, np.ndarray]

_SIDE = ".torchcaffe"
_DIGEST = 32  # bytes of a sha256


def write(
    prefix: str, net: Net, state: SolverState, history: list[np.ndarray], in_hdf5: bool, with_diff: bool = False
) -> str:
    """Writes PREFIX.caffemodel, on request with the gradients, and PREFIX.solverstate, or both with `.h5`; the path of
    the latter."""
    if in_hdf5:
        model, path = f"{prefix}.caffemodel.h5", f"{prefix}.solverstate.h5"
        log.info("solver.cpp:474", f"Snapshotting to HDF5 file {model}")
        hdf5.save_weights(net, model, with_diff)
        log.info("sgd_solver.cpp:296", f"Snapshotting solver state to HDF5 file {path}")
    else:
        model, path = f"{prefix}.caffemodel", f"{prefix}.solverstate"
        log.info("solver.cpp:464", f"Snapshotting to binary proto file {model}")
        weights.save(net, model, with_diff)
        log.info("sgd_solver.cpp:284", f"Snapshotting solver state to binary proto file {path}")
    state.learned_net = model
    (hdf5.write_state if in_hdf5 else write_state)(path, state, history)
    return path


def write_state(path: str, state: SolverState, history: list[np.ndarray]) -> None:
    """Writes a binary solverstate: `state` with `history`."""
    whole = SolverState()
    whole.CopyFrom(state)
    whole.history.extend(blobs.array_to_blob(array) for array in history)
    write_file(path, [whole.SerializeToString()])


def read_state(path: str, shapes: list[tuple[int, ...]]) -> tuple[SolverState, list[np.ndarray]]:
    """A solverstate and its history as arrays; in HDF5 they must have `shapes`. Raises FormatError."""
    if path.endswith(".h5"):
        return hdf5.read_state(path, shapes)
    try:
        state = SolverState.FromString(Path(path).read_bytes())
    except OSError as error:
        raise Fatal(f"{path}: cannot be read: {error.strerror}", "io.cpp:57") from None
    except DecodeError:
        raise Fatal(f"{path}: no solverstate, or cut off; resume from another snapshot", "io.cpp:57") from None
    check(state.HasField("iter"), f"{path}: no solverstate: there is no iteration in it", "io.cpp:57")
    return state, [blobs.blob_to_array(blob, f"{path}: history {i}") for i, blob in enumerate(state.history)]


def write_side(path: str, state: State) -> None:
    """Writes the file beside the solverstate `path`."""
    out = io.BytesIO()
    np.savez(out, solverstate=_checksum(path), **state)
    write_file(path + _SIDE, [sha256(out.getvalue()).digest(), out.getvalue()])


def read_side(path: str) -> State | None:
    """What was written beside the solverstate `path`; None where that is missing or belongs to another one.

    Its own checksum comes first in it, so that what numpy reads is what numpy wrote. Raises Fatal.
    """
    side = Path(path + _SIDE)
    if not side.is_file():
        return None
    data = side.read_bytes()
    whole = sha256(data[_DIGEST:]).digest() == data[:_DIGEST]
    check(whole, f"{side}: damaged; remove it to resume without it", "sgd_solver.cpp:290")
    with np.load(io.BytesIO(data[_DIGEST:]), allow_pickle=False) as archive:
        state = dict(archive)
    if not np.array_equal(state.pop("solverstate", None), _checksum(path)):
        log.warning("sgd_solver.cpp:290", f"{side} belongs to another solverstate and is left aside")
        return None
    return state


def _checksum(path: str) -> np.ndarray:
    return np.frombuffer(sha256(Path(path).read_bytes()).digest(), np.uint8)


def net_state(net: Net, prefix: str) -> State:
    """Where the data layers of `net` stand."""
    layers = [(index, layer) for index, layer in enumerate(net.layers) if hasattr(layer, "state")]
    return {f"{prefix}.{index}.{name}": array for index, layer in layers for name, array in layer.state().items()}


def restore_net(net: Net, prefix: str, state: State) -> None:
    for index, layer in enumerate(net.layers):
        if hasattr(layer, "restore"):
            start = f"{prefix}.{index}."
            layer.restore({name.removeprefix(start): a for name, a in state.items() if name.startswith(start)})
