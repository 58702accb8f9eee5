"""Three proofs that a run copied, initialized and froze its layers as its condition says. The manifest keeps them.

1. The layers that the log reports as ignored are exactly the renamed ones.
2. With `max_iter: 0` and the same seed and weights Caffe writes the net as it is before training. In it the copied
   blobs are equal to the source net's bit by bit, and the random ones are not. No layer beside them has blobs.
3. After training the frozen blobs (weights and biases) are still equal to those before training. (How many of the other
   layers changed is only counted: a template may itself freeze a layer.)
"""

from pathlib import Path

from caffeformat import prototxt
from caffeformat.blobs import layer_blob_bytes, read_caffemodel
from caffeformat.caffeformat_pb2 import LayerParameter, NetParameter
from tools.common.errors import UserError
from tools.common.files import write_atomic
from tools.nets.surgery import LayerPlan
from tools.nets.templates import SOLVER
from tools.protocol.layout import Run

Blobs = dict[str, list[bytes]]
_FILLERS = ("weight_filler", "filler")  # the fields of a layer's settings that fill its weights


class ProofFailed(UserError):
    """The engine did not do what the rendered prototxt says."""


def start_solver(run: Run) -> Path:
    """Writes the solver of proof 2, which trains nothing, into the run's folder. Returns its path."""
    solver = prototxt.read_solver(run.folder / SOLVER)
    solver.max_iter = solver.snapshot = solver.test_interval = solver.display = 0
    for field in (
        "test_iter",
        "test_state",
    ):  # no test nets: the train net is initialized before them, so it is the same
        solver.ClearField(field)
    solver.snapshot_prefix = str(run.folder / "start")
    write_atomic(run.folder / "start.prototxt", prototxt.to_text(solver))
    return run.folder / "start.prototxt"


def check_whole(plan: list[LayerPlan], net: Path) -> None:
    """Raises ProofFailed unless the caffemodel `net` has weights of every layer, FormatError if it cannot be read."""
    missing = sorted({row.name for row in plan} - read_caffemodel(net).keys())
    if missing:
        raise ProofFailed(f"{net}: no weights of {', '.join(missing)}: cut off, or of another net")


def check_ignored(plan: list[LayerPlan], ignored: list[str]) -> list[str]:
    """Proof 1. `ignored`: the layers that the log names. Returns them without Caffe's own `..._split` layers.

    Caffe inserts a `..._split` layer after a layer whose top has several users; it is ignored together with that layer.
    """
    planned = {row.layer for row in plan}
    renamed = planned - {row.name for row in plan}  # a layer split by filters has both names
    own_ignored = {name for name in ignored if name in planned or not name.endswith("_split")}
    if own_ignored != renamed:
        raise ProofFailed(
            f"the log says that layers {sorted(own_ignored)} of the source net were ignored, not {sorted(renamed)}"
        )
    return sorted(own_ignored)


def check_start(plan: list[LayerPlan], start: Path, source: Blobs, net: NetParameter) -> dict[str, int]:
    """Proof 2. `start`: the net before training, `source`: the net that was copied from. Returns counts of layers.

    `net`: the run's net. A layer that it fixes at a constant is the same in all nets, and proves nothing.
    """
    at_start = layer_blob_bytes(start)
    if unplanned := at_start.keys() - {row.name for row in plan}:
        raise ProofFailed(
            f"{start}: layer {min(unplanned)} has weights, and the copy plan does not name it; a Python layer that "
            "makes blobs needs a `param` block for each of them in the template"
        )
    fixed = fixed_at_a_constant(net)
    counts = {"copied_equal": 0, "random_differ": 0}
    for row in plan:
        if row.layer not in source:
            raise ProofFailed(f"the source net has no weights of {row.layer}")
        ours, theirs = at_start[row.name], source[row.layer]
        if row.copied and ours != theirs:
            raise ProofFailed(f"layer {row.name} should start as a copy of the source net's {row.layer}, and does not")
        if not row.copied and row.name in fixed:
            continue
        if not row.copied and ours[0] == theirs[0]:
            raise ProofFailed(f"layer {row.name} should start random, and starts as the source net's {row.layer}")
        counts["copied_equal" if row.copied else "random_differ"] += 1
    return counts


def fixed_at_a_constant(net: NetParameter) -> set[str]:
    """The layers whose weights do not learn, and whose filler draws no random number."""
    return {layer.name for layer in net.layer if layer.param and not layer.param[0].lr_mult and _is_constant(layer)}


def _is_constant(layer: LayerParameter) -> bool:
    fillers = [getattr(value, name) for _, value in layer.ListFields() for name in _FILLERS if hasattr(value, name)]
    return bool(fillers) and all(filler.type == "constant" for filler in fillers)


def check_end(plan: list[LayerPlan], start: Path, end: Path) -> dict[str, int]:
    """Proof 3. `start`: the net before training, `end`: the net after it. Returns counts of layers."""
    at_start, at_end = layer_blob_bytes(start), layer_blob_bytes(end)
    counts = {"frozen_equal": 0, "learning_moved": 0}
    for row in plan:
        same = at_start[row.name] == at_end[row.name]
        if row.frozen and not same:
            raise ProofFailed(f"layer {row.name} was frozen, and its blobs changed in training")
        counts["frozen_equal"] += row.frozen
        counts["learning_moved"] += not same
    return counts
