"""Snapshots: a caffemodel and a solverstate, which both engines read, and a resume file, which only torchcaffe reads.

A solverstate holds the iteration, the step of the learning rate, the solver's history and the path of the weights. When
BVLC Caffe resumes from it, data and random numbers start again from the beginning. The resume file,
`NAME.solverstate.torchcaffe`, holds the rest: the position of each data layer, the state of the random generators, the
smoothed loss. With it a resumed run continues exactly; without it, it continues as in BVLC Caffe. It is a numpy archive
after its own sha256, and holds the checksum of its solverstate.
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

_RESUME_SUFFIX = ".torchcaffe"
_DIGEST = 32  # bytes of a sha256


def write(
    prefix: str,
    net: Net,
    state: SolverState,
    history: list[np.ndarray],
    in_hdf5: bool,
    resume_state: State,
    with_diff: bool = False,
) -> None:
    """Writes PREFIX.caffemodel, the resume file, and PREFIX.solverstate last (with `.h5` if `in_hdf5`).

    So where a solverstate is, however the process was killed, its weights and its resume file are, too. `with_diff`
    adds the gradients to the caffemodel. Sets `learned_net` in `state`. Raises Fatal.
    """
    if in_hdf5:
        weights_path, state_path = f"{prefix}.caffemodel.h5", f"{prefix}.solverstate.h5"
        log.info("solver.cpp:474", f"Snapshotting to HDF5 file {weights_path}")
        hdf5.save_weights(net, weights_path, with_diff)
        log.info("sgd_solver.cpp:296", f"Snapshotting solver state to HDF5 file {state_path}")
    else:
        weights_path, state_path = f"{prefix}.caffemodel", f"{prefix}.solverstate"
        log.info("solver.cpp:464", f"Snapshotting to binary proto file {weights_path}")
        weights.save(net, weights_path, with_diff)
        log.info("sgd_solver.cpp:284", f"Snapshotting solver state to binary proto file {state_path}")
    state.learned_net = weights_path
    content = hdf5.state_content(state, history) if in_hdf5 else _state_content(state, history)
    _write_resume_file(state_path, resume_state, _digest(content))
    write_file(state_path, [content])


def _state_content(state: SolverState, history: list[np.ndarray]) -> bytes:
    """The content of a binary solverstate: `state` with `history`."""
    with_history = SolverState()
    with_history.CopyFrom(state)
    with_history.history.extend(blobs.array_to_blob(array) for array in history)
    return with_history.SerializeToString()


def read_state(path: str, shapes: list[tuple[int, ...]]) -> tuple[SolverState, list[np.ndarray]]:
    """A solverstate, binary or HDF5, and its history as arrays. In HDF5 they must have `shapes`. Raises FormatError."""
    if path.endswith(".h5"):
        return hdf5.read_state(path, shapes)
    try:
        state = SolverState.FromString(Path(path).read_bytes())
    except OSError as error:
        raise Fatal(f"{path}: cannot be read: {error.strerror}", "io.cpp:57") from None
    except DecodeError:
        raise Fatal(f"{path}: not a solverstate, or cut off; resume from another snapshot", "io.cpp:57") from None
    check(state.HasField("iter"), f"{path}: not a solverstate: it holds no iteration", "io.cpp:57")
    return state, [blobs.blob_to_array(blob, f"{path}: history {i}") for i, blob in enumerate(state.history)]


def weights_of(path: str, learned_net: str) -> str:
    """The caffemodel of the solverstate `path`: `learned_net`, or if that is gone, the file of its name beside `path`.

    Caffe stores the path that it wrote to. Once the folder was moved, BVLC Caffe finds no weights.
    """
    beside = Path(path).with_name(Path(learned_net).name)
    if Path(learned_net).exists() or not beside.is_file():
        return learned_net
    log.warning("sgd_solver.cpp:318", f"{learned_net} is gone; the weights are read from {beside}")
    return str(beside)


def _write_resume_file(path: str, state: State, digest: np.ndarray) -> None:
    """Writes the resume file of the solverstate `path`, whose checksum is `digest`. Raises Fatal."""
    out = io.BytesIO()
    np.savez(out, solverstate=digest, **state)  # type: ignore[arg-type]  # its stub mistakes a key for an option
    write_file(path + _RESUME_SUFFIX, [sha256(out.getvalue()).digest(), out.getvalue()])


def read_resume_file(path: str) -> State | None:
    """The state in the resume file of the solverstate `path`; None if it is missing or belongs to another solverstate.

    Raises Fatal if its own checksum is wrong, so that numpy reads only what numpy wrote.
    """
    resume_file = Path(path + _RESUME_SUFFIX)
    if not resume_file.is_file():
        return None
    data = resume_file.read_bytes()
    intact = sha256(data[_DIGEST:]).digest() == data[:_DIGEST]
    check(intact, f"{resume_file}: damaged; remove it to resume without it", "sgd_solver.cpp:290")
    with np.load(io.BytesIO(data[_DIGEST:]), allow_pickle=False) as archive:
        state = dict(archive)
    if not np.array_equal(state.pop("solverstate", None), _digest(Path(path).read_bytes())):
        log.warning("sgd_solver.cpp:290", f"{resume_file} belongs to another solverstate and is ignored")
        return None
    return state


def _digest(content: bytes | memoryview) -> np.ndarray:
    return np.frombuffer(sha256(content).digest(), np.uint8)


def net_state(net: Net, prefix: str) -> State:
    """The state of the data layers of `net`; its keys begin with `prefix`."""
    layers = [(index, layer) for index, layer in enumerate(net.layers) if hasattr(layer, "state")]
    return {f"{prefix}.{index}.{name}": array for index, layer in layers for name, array in layer.state().items()}


def restore_net(net: Net, prefix: str, state: State) -> None:
    """Sets the data layers of `net` back to an earlier `net_state`."""
    for index, layer in enumerate(net.layers):
        if hasattr(layer, "restore"):
            start = f"{prefix}.{index}."
            layer.restore({name.removeprefix(start): a for name, a in state.items() if name.startswith(start)})
