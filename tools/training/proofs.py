"""Three proofs that a run copied, drew and froze what its condition says (kept in its manifest).

1. The layers that the log says it ignored are exactly the renamed ones.
2. With `max_iter: 0` and the same seed and weights Caffe writes the net as it starts: the copied blobs equal the source
   net's to the bit, the random ones do not.
3. After training the frozen blobs, weights and biases, still equal the source net's; those of RnT, which have no source
   net, what they were at the start. (How many of the others moved is counted: a template may hold a layer still on its
   own account.)
"""

from pathlib import Path

from caffeformat import prototxt
from caffeformat.blobs import layer_blob_bytes
from tools.common.errors import UserError
from tools.common.files import write_atomic
from tools.nets.surgery import LayerPlan
from tools.nets.templates import SOLVER
from tools.protocol.layout import Run

Blobs = dict[str, list[bytes]]


class ProofFailed(UserError):
    """The engine did not do what the rendered prototxt asks for."""


def start_solver(run: Run) -> Path:
    """Writes the solver of proof 2 beside the run's own, training nothing, and returns its path."""
    solver = prototxt.read_solver(run.folder / SOLVER)
    solver.max_iter = solver.snapshot = solver.test_interval = solver.display = 0
    del solver.test_iter[:]  # no test nets: the train net is drawn first, so its start is the same without them
    solver.snapshot_prefix = str(run.folder / "start")
    write_atomic(run.folder / "start.prototxt", prototxt.to_text(solver))
    return run.folder / "start.prototxt"


def check_ignored(plan: list[LayerPlan], ignored: list[str]) -> list[str]:
    """Proof 1. Caffe's own `..._split` layers bear the name of the layer before them and come and go with it."""
    renamed = {row.layer for row in plan} - {row.name for row in plan}  # a parted layer has both names
    found = {name for name in ignored if not name.endswith("_split")}
    if found != renamed:
        raise ProofFailed(
            f"the log says that layers {sorted(found)} of the source net were ignored, not {sorted(renamed)}"
        )
    return sorted(found)


def check_start(plan: list[LayerPlan], start: Path, source: Blobs) -> dict[str, int]:
    """Proof 2. `source` is the net that is copied from."""
    begun = layer_blob_bytes(start)
    counts = {"copied_equal": 0, "random_differ": 0}
    for row in plan:
        ours, theirs = begun[row.name], source[row.layer]
        if row.what.startswith("copied") and ours != theirs:
            raise ProofFailed(f"layer {row.name} should start as a copy of the source net's {row.layer}, and does not")
        if row.what.startswith("random") and ours[0] == theirs[0]:
            raise ProofFailed(f"layer {row.name} should start random, and starts as the source net's {row.layer}")
        counts["copied_equal" if row.what.startswith("copied") else "random_differ"] += 1
    return counts


def check_end(plan: list[LayerPlan], start: Path, end: Path) -> dict[str, int]:
    """Proof 3. `start` is proven equal to the source net where it was copied."""
    begun, ended = layer_blob_bytes(start), layer_blob_bytes(end)
    counts = {"frozen_equal": 0, "learning_moved": 0}
    for row in plan:
        same = begun[row.name] == ended[row.name]
        if row.what.endswith("frozen") and not same:
            raise ProofFailed(f"layer {row.name} was frozen, and its blobs changed in training")
        counts["frozen_equal"] += row.what.endswith("frozen")
        counts["learning_moved"] += not same
    return counts
