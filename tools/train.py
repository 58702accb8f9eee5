"""Drives `caffe train` on a rendered run, and proves what was copied, drawn and frozen.

The log is kept as caffe.log; train.json, written last, says how the training went. BVLC Caffe cannot resume exactly (a
solverstate holds no data cursor and no random state), so a killed run starts again, unless the experiment says
`resume`.
"""

import math
import re
import time
from pathlib import Path

from caffeformat.blobs import layer_blob_bytes
from tools import cli
from tools.caffe_log import Log, LogReader
from tools.common.files import lock, read_json, sha256, write_json
from tools.nets.templates import NET, SOLVER, Rendered, render
from tools.protocol.experiment import Experiment, load
from tools.protocol.layout import Run
from tools.protocol.runs import condition_of, find_run, source_run
from tools.training import filter_subset, proofs
from tools.training.engine import Engine, find
from tools.training.gpus import gpu_slot
from tools.training.inputs import run_inputs, source_weights
from tools.training.live_line import LiveLine
from tools.training.process import RunFailed, describe_exit, run_engine

LOG = "caffe.log"


def train(exp: Experiment, run: Run, engine: Engine) -> dict:
    """Trains in the run's folder and returns what train.json then holds. The caller holds the run's lock.

    Raises RunFailed where the engine ends badly, ProofFailed where it did not do what the prototxt says.
    """
    inputs = run_inputs(exp, run, engine)
    done = read_json(run.folder / "train.json")
    if done and done["inputs"] == inputs and (run.folder / done["model"]["file"]).exists():
        _tidy(run)
        return done
    (run.folder / "train.json").unlink(missing_ok=True)
    rendered = render(exp, run)
    for path, text in ((run.folder / NET, rendered.net), (run.folder / SOLVER, rendered.solver)):
        if not path.is_file() or path.read_text(encoding="utf-8") != text:
            what = "not as its template renders it now" if path.is_file() else "not there"
            raise RunFailed(f"{path}: {what}; run `python -m tools render {exp.file} {run.key}` first")
    source = source_run(exp, run)
    weights = source_weights(source)[0] if source else None
    attempts = _count_attempt(run, inputs)
    snapshot = _last_snapshot(run) if exp.resume and attempts > 1 else None
    if snapshot is None:
        _clear(run)
    proof = {}
    if condition_of(run).subset and not condition_of(run).retained:
        weights, proof["subset"] = _part_of(run, rendered, weights)
    copied = [f"--weights={weights}"] if source else []
    start = run.folder / "start_iter_0.caffemodel" if source or condition_of(run).frozen else None
    with gpu_slot(engine) as gpu:
        if start:
            _caffe(engine, run, gpu, [f"--solver={proofs.start_solver(run)}", *copied], "start.log")
        if source:
            proof["start"] = proofs.check_start(rendered.plan, start, layer_blob_bytes(weights))
        arguments = [f"--solver={run.folder / SOLVER}", *([f"--snapshot={snapshot}"] if snapshot else copied)]
        began = time.time()
        live = LiveLine(run, rendered)
        log, command = _caffe(engine, run, gpu, arguments, LOG, live, append=snapshot is not None)
    model = _model(run)
    if source:
        proof["ignored"] = proofs.check_ignored(rendered.plan, log.ignored_layers)
    if start:
        proof["end"] = proofs.check_end(rendered.plan, start, model)
    done = {
        "inputs": inputs,
        "command": command,
        "device": "cpu" if gpu is None else f"gpu {gpu}",
        "began": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(began)),
        "seconds": round(time.time() - began, 1),
        "attempts": attempts,
        "proofs": proof,
        "model": {"file": model.name, "sha256": sha256(model)},
    }
    write_json(run.folder / "train.json", done)
    _tidy(run)
    return done


def _part_of(run: Run, rendered: Rendered, source: Path) -> tuple[Path, dict]:
    """The source net with only the chosen filters of a layer, as a caffemodel, and which they are."""
    (layer,) = (row.layer for row in rendered.plan if row.filters)
    part = run.folder / "start_subset.caffemodel"
    chosen = filter_subset.write(part, source, layer, condition_of(run).subset, rendered.seed)
    filter_subset.check(part, source, chosen)
    return part, chosen


def _tidy(run: Run) -> None:
    """Removes what a finished training no longer needs: solverstates, and the net of proof 2."""
    for leftover in {*run.folder.glob("start*"), *run.folder.glob("*.solverstate*")}:
        leftover.unlink()


def _caffe(
    engine: Engine,
    run: Run,
    gpu: str | None,
    arguments: list[str],
    name: str,
    live: LiveLine | None = None,
    append: bool = False,
) -> tuple[Log, str]:
    """Runs `caffe train` with `arguments`, its log teed into the run's folder; returns what it says, and the command.

    Raises RunFailed unless the engine says that it is done.
    """
    path, reader = run.folder / name, LogReader()
    if append:
        with open(path, errors="replace") as before:
            for line in before:
                reader.feed(line)

    def take(line: str) -> None:
        event = reader.feed(line)
        if live and event:
            live.show(event)

    status, command = run_engine(engine, ["train", *arguments], gpu, path, take, append)
    log = reader.finish()
    # BVLC Caffe's max pooling writes outside its blob where all inputs are NaN: a diverged run may crash as it exits.
    diverged = log.finished and any(
        math.isnan(cell or 0) for row in list(log.test.rows())[-1:] for cell in row.values()
    )
    if (status and not diverged) or not (log.finished or live is None):
        how = "stopped early" if log.stopped_early else "failed"
        raise RunFailed(f"{path}: {engine.name} {how} {describe_exit(status, log.fatal or log.tail)}")
    return log, command


def _count_attempt(run: Run, inputs: dict[str, str]) -> int:
    """How many times this training was begun with the same inputs, this one included."""
    path = run.folder / "attempts.json"
    before = read_json(path)
    count = before["count"] + 1 if before and before["inputs"] == inputs else 1
    write_json(path, {"inputs": inputs, "count": count})
    return count


def _iteration(path: Path) -> int:
    return int(re.search(r"_iter_(\d+)\.", path.name)[1])


def _last_snapshot(run: Run) -> Path | None:
    """The newest solverstate whose caffemodel is there too."""
    states = [s for s in run.folder.glob("net_iter_*.solverstate") if s.with_suffix(".caffemodel").exists()]
    return max(states, key=_iteration, default=None)


def _model(run: Run) -> Path:
    """The last caffemodel; older snapshots go."""
    models = sorted(run.folder.glob("net_iter_*.caffemodel*"), key=_iteration)
    for old in models[:-1]:
        old.unlink()
    return models[-1]


def _clear(run: Run) -> None:
    """Removes what an earlier attempt, or a run with other inputs, left behind."""
    for pattern in ("net_iter_*", "start*", LOG, "train.csv", "test*.csv", "curves.csv", "predict*"):
        for path in run.folder.glob(pattern):
            path.unlink()


def main(argv: list[str]) -> None:
    parser = cli.parser("train", __doc__)
    parser.add_argument("run", help="the run's key or folder: A2B/n0300/S3T/seed0")
    arguments = parser.parse_args(argv)
    exp = load(arguments.experiment, arguments.set)
    engine = find()
    run = find_run(exp, engine.name, arguments.run)
    with lock(run.lock):
        done = train(exp, run, engine)
    print(
        f"{run.folder}: trained in {done['seconds']} s: {done['model']['file']}; "
        f"proofs: {done['proofs'] or 'nothing was copied'}"
    )
