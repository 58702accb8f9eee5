"""The snapshots in a run's folder: which of them are whole, and from which one a killed training can go on."""

from collections.abc import Iterator
from pathlib import Path

from google.protobuf.message import DecodeError

from caffeformat.caffeformat_pb2 import SolverState
from caffeformat.errors import FormatError
from tools.common.errors import UserError
from tools.common.files import write_atomic
from tools.nets.surgery import LayerPlan
from tools.protocol.layout import Run
from tools.training.process import RunFailed
from tools.training.proofs import check_whole


def whole_snapshots(run: Run, plan: list[LayerPlan], log: Path) -> Iterator[Path]:
    """The solverstates that a training of `run` can go on from, the newest first.

    A snapshot counts if its solverstate and its caffemodel are whole, and if `log` has the lines up to it: else rows of
    the tables would be missing. A kill can leave a truncated file, and lines that nobody had read. Prints which
    snapshots are passed over, and why.
    """
    logged = _logged(log)
    for state in sorted(run.folder.glob("net_iter_*.solverstate"), key=iteration, reverse=True):
        fault = _fault(state, plan) if state.name in logged else f"{log.name} has no line of it"
        if fault:
            print(f"{state}: passed over: {fault}", flush=True)
        else:
            yield state


def iteration(snapshot: Path) -> int:
    """N of net_iter_N.caffemodel."""
    digits = snapshot.name.partition("_iter_")[2].partition(".")[0]
    return int(digits) if digits.isdecimal() and len(digits) < 19 else -1


def name_own_net(state: Path) -> None:
    """Writes the path of the caffemodel beside it into a solverstate of BVLC Caffe's that has another path.

    Caffe stores the path of the caffemodel, and does not find it once the folder was moved. A solverstate with further
    files beside it (net_iter_20.solverstate.*) is left as it is: its engine does not need the path.
    """
    if list(state.parent.glob(f"{state.name}.*")):
        return
    message = SolverState.FromString(state.read_bytes())
    if message.learned_net != str(state.with_suffix(".caffemodel")):
        message.learned_net = str(state.with_suffix(".caffemodel"))
        write_atomic(state, message.SerializeToString())


def last_caffemodel(run: Run, max_iter: int) -> Path:
    """The caffemodel of the last iteration; those of earlier snapshots are deleted. Raises RunFailed without it."""
    last = run.folder / f"net_iter_{max_iter}.caffemodel"
    others = [path for path in run.folder.glob("net_iter_*.caffemodel*") if path != last]
    if not last.is_file():
        there = ", ".join(sorted(path.name for path in others)) or "none"
        raise RunFailed(f"{last}: the engine said that it finished, and did not write it; caffemodels there: {there}")
    for old in others:
        old.unlink()
    return last


def _fault(state: Path, plan: list[LayerPlan]) -> str:
    """Why a training cannot go on from this solverstate; empty if it can."""
    try:
        message = SolverState.FromString(state.read_bytes())
        check_whole(plan, state.with_suffix(".caffemodel"))
    except DecodeError:
        return "not a solverstate, or cut off"
    except (OSError, UserError, FormatError) as error:
        return str(error)
    if not message.HasField("current_step"):  # Caffe writes it last. Between two blobs, a cut file is a whole message
        return "cut off"
    return "" if message.iter == iteration(state) else f"it is of iteration {message.iter}"


def _logged(log: Path) -> set[str]:
    """The names of the solverstates that the log says were written."""
    if not log.is_file():
        return set()
    with open(log, errors="replace") as lines:
        return {Path(line.split()[-1]).name for line in lines if "Snapshotting solver state" in line}
