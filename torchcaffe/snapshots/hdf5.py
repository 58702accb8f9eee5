"""Snapshots as HDF5 files, `.caffemodel.h5` and `.solverstate.h5`, which BVLC Caffe reads and writes too.

- Weights: `data/LAYER/0`, `data/LAYER/1`, ... for the blobs of each layer. A shared blob is written for its owner only.
- Gradients, with snapshot_diff: `diff/LAYER/0`, ... A shared blob is written for every layer that shares it.
- Solver state: `iter`, `current_step`, `learned_net`, and the history as `history/0`, `history/1`, ...

Source followed: BVLC Caffe's net.cpp, sgd_solver.cpp and util/hdf5.cpp.
"""

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from caffeformat.caffeformat_pb2 import SolverState
from torchcaffe.common import log
from torchcaffe.common.hdf5_file import as_float32, import_h5py, new_content, new_file, open_file
from torchcaffe.common.log import check, shape_string
from torchcaffe.nets.net import Net

if TYPE_CHECKING:
    import h5py

_KIND = "HDF5 snapshot of Caffe's"


def check_possible(net: Net, where: str) -> None:
    """Raises Fatal if snapshots of `net` cannot be written as HDF5. `where` names the solver's file."""
    import_h5py(f"{where}: snapshot_format: HDF5")
    _check_names(net, f"{where}: snapshot_format: HDF5", "BINARYPROTO")


def _check_names(net: Net, where: str, instead: str) -> None:
    for layer in net.layers:
        slash = f"{where} cannot hold the layer {layer.name}: its name contains a /"
        check("/" not in layer.name, f"{slash}; use {instead}", "net.cpp:878")


def save_weights(net: Net, path: str, with_diff: bool = False) -> None:
    """Writes the weights of `net`; `with_diff` adds the gradients. The file appears complete or not at all. Raises
    Fatal."""
    _check_names(net, f"{path}: HDF5", "a caffemodel")
    owned = _owned(net)
    with new_file(path) as file:
        for layer in net.layers:
            data = file.create_group(f"data/{layer.name}")
            diff = file.create_group(f"diff/{layer.name}") if with_diff else None
            for index, blob in enumerate(layer.blobs):
                if (layer.name, index) in owned:
                    data[str(index)] = blob.values().astype(np.float32, copy=False)
                if diff is not None:
                    diff[str(index)] = blob.diff_values().astype(np.float32, copy=False)


def load_weights(net: Net, path: str | Path) -> None:
    """Copies the weights in a file into the layers of `net` that have the same names. Raises Fatal."""
    owned = _owned(net)
    targets = {layer.name: layer for layer in reversed(net.layers)}
    with open_file(path, "net.cpp:794", _KIND) as file:
        check("data" in file, f"{path}: Error reading weights: it holds no group `data`", "net.cpp:796")
        for name, group in file["data"].items():
            if name not in targets:
                log.info("net.cpp:801", f"Ignoring source layer {name}")
                continue
            blobs = targets[name].blobs
            wrong = f"{path}: Incompatible number of blobs for layer {name}: {len(group)} in the file"
            wrong += f", {len(blobs)} in the net"
            check(len(group) <= len(blobs), wrong, "net.cpp:814")
            for index, blob in enumerate(blobs):
                if str(index) in group:
                    blob.data = _array(group[str(index)], blob.shape, f"{path}: layer {name}, blob {index}")
                else:
                    check((name, index) not in owned, wrong, "net.cpp:827")


def state_content(state: SolverState, history: list[np.ndarray]) -> memoryview:
    """The content of a solverstate: `state` with `history`. Raises Fatal without h5py."""
    name = state.learned_net.encode() + b"\0"  # Caffe reads a C string, up to the zero
    with new_content(_KIND) as (file, content):
        file["iter"] = np.array([state.iter], np.int32)
        file["learned_net"] = np.array(name, f"S{len(name)}")
        file["current_step"] = np.array([state.current_step], np.int32)
        group = file.create_group("history")
        for index, array in enumerate(history):
            group[str(index)] = array.astype(np.float32, copy=False)
    return content.getbuffer()


def read_state(path: str, shapes: list[tuple[int, ...]]) -> tuple[SolverState, list[np.ndarray]]:
    """A solverstate (its `history` field is empty) and its history, which must have `shapes`. Raises Fatal."""
    with open_file(path, "sgd_solver.cpp:346", _KIND) as file:
        state = SolverState(iter=int(file["iter"][0]), current_step=int(file["current_step"][0]))
        if "learned_net" in file:
            state.learned_net = bytes(file["learned_net"][()]).split(b"\0")[0].decode()
        group = file["history"]
        wrong = f"{path}: Incorrect length of history blobs: {len(group)}; this solver keeps {len(shapes)} for the net"
        check(len(group) == len(shapes), wrong, "sgd_solver.cpp:356")
        history = [_array(group[str(i)], shape, f"{path}: history {i}") for i, shape in enumerate(shapes)]
    return state, history


def _array(dataset: "h5py.Dataset", shape: tuple[int, ...], name: str) -> np.ndarray:
    """A dataset as float32. Its shape is checked before memory is allocated for its values."""
    mismatch = f"{name}: Cannot load blob from hdf5; shape mismatch. Source shape is {shape_string(dataset.shape)}"
    check(tuple(dataset.shape) == tuple(shape), f"{mismatch} target shape is {shape_string(shape)}", "hdf5.cpp:80")
    return as_float32(dataset, name)


def _owned(net: Net) -> set[tuple[str, int]]:
    """The blobs that no other layer owns, as (layer, index)."""
    return {(param.layer.name, param.index) for param in net.params.learnable}
