"""How far the snapshots of two runs are apart."""

from pathlib import Path

import numpy as np

from caffeformat import blobs
from caffeformat.caffeformat_pb2 import SolverState
from tests.helpers.both_engines import distance


def compare_snapshots(found: Path, right: Path, iteration: int, exactly: bool = False) -> float:
    """How far apart weights and history are: the worst max|a - b| / max|b| of any blob."""
    names = [folder / f"out_iter_{iteration}.caffemodel" for folder in (found, right)]
    mine, theirs = map(blobs.read_caffemodel, names)
    assert list(mine) == list(theirs)
    pairs = [pair for name in mine for pair in zip(mine[name], theirs[name], strict=True)]
    states = [SolverState.FromString(name.with_suffix(".solverstate").read_bytes()) for name in names]
    assert (states[0].iter, states[0].current_step) == (states[1].iter, states[1].current_step)
    assert states[0].learned_net == states[1].learned_net
    histories = [[blobs.blob_to_array(blob) for blob in state.history] for state in states]
    pairs += list(zip(*histories, strict=True))
    if exactly:
        assert all(np.array_equal(a, b) for a, b in pairs)
    return max(distance(a, b) for a, b in pairs)
