"""Run `caffe train` on a rendered run, and prove what was copied, drawn at random and frozen.

    python -m tools train experiments/demo.yaml A2B/n0060/S3T/seed0

The log is kept as caffe.log. train.json, written last, records how the training went. BVLC Caffe cannot resume exactly,
because a solverstate holds no data cursor and no random state. So a killed run starts again, unless the experiment has
`resume: true`.
"""

import math
import time
from pathlib import Path

from caffeformat.blobs import layer_blob_bytes
from tools import cli
from tools.caffe_log import Log, LogReader
from tools.common.files import lock, read_json, sha256, write_json
from tools.common.stage import Record
from tools.nets.templates import NET, SOLVER, Rendered, render
from tools.protocol.conditions import Subset
from tools.protocol.experiment import Experiment, load
from tools.protocol.layout import Run
from tools.protocol.runs import condition_of, find_run, source_run
from tools.training import filter_subset, proofs
from tools.training.engine import Engine, find_engine
from tools.training.gpus import gpu_slot
from tools.training.inputs import run_inputs, trained_weights
from tools.training.live_line import LiveLine
from tools.training.machine import machine
from tools.training.process import RunFailed, describe_exit, run_engine

LOG, RECORD = "caffe.log", "train.json"


def train(exp: Experiment, run: Run, engine: Engine) -> Record:
    """Trains in the run's folder and returns what train.json then holds. The caller holds the run's lock.

    Raises RunFailed if the engine fails, ProofFailed if it did not do what the prototxt says.
    """
    inputs = run_inputs(exp, run, engine)
    training = read_json(run.folder / RECORD)
    if training and training["inputs"] == inputs and (run.folder / training["model"]["file"]).exists():
        _remove_leftovers(run)
        return dict(training)
    (run.folder / RECORD).unlink(missing_ok=True)
    rendered = render(exp, run)
    _check_rendered(exp, run, rendered)
    source = source_run(exp, run)
    weights = trained_weights(source)[0] if source else None
    attempts = _count_attempt(run, inputs)
    snapshot = _last_snapshot(run) if exp.resume and attempts > 1 else None
    if snapshot is None:
        _clear(run)
    proof: Record = {}
    condition = condition_of(run)
    if condition.subset and not condition.retained and weights:
        weights, proof["subset"] = _keep_filters(run, rendered, condition.subset, weights)
    copied = [f"--weights={weights}"] if weights else []
    start = run.folder / "start_iter_0.caffemodel" if weights or condition.frozen else None
    with gpu_slot(engine) as gpu:
        if start:
            _caffe(engine, run, gpu, [f"--solver={proofs.start_solver(run)}", *copied], "start.log")
        if start and weights:
            proof["start"] = proofs.check_start(rendered.plan, start, layer_blob_bytes(weights))
        arguments = [f"--solver={run.folder / SOLVER}", *([f"--snapshot={snapshot}"] if snapshot else copied)]
        began = time.time()
        live = LiveLine(run, rendered)
        log, command = _caffe(engine, run, gpu, arguments, LOG, live, append=snapshot is not None)
    trained = _last_caffemodel(run)
    if weights:
        proof["ignored"] = proofs.check_ignored(rendered.plan, log.ignored_layers)
    if start:
        proof["end"] = proofs.check_end(rendered.plan, start, trained)
    training = {
        "inputs": inputs,
        "command": command,
        "device": "cpu" if gpu is None else f"gpu {gpu}",
        "machine": machine(),
        "began": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(began)),
        "seconds": round(time.time() - began, 1),
        "attempts": attempts,
        "proofs": proof,
        "model": {"file": trained.name, "sha256": sha256(trained)},
    }
    write_json(run.folder / RECORD, training)
    _remove_leftovers(run)
    return training


def _check_rendered(exp: Experiment, run: Run, rendered: Rendered) -> None:
    """Raises RunFailed unless the prototxts in the run's folder are the rendered ones."""
    for path, text in ((run.folder / NET, rendered.net), (run.folder / SOLVER, rendered.solver)):
        if not path.is_file() or path.read_text(encoding="utf-8") != text:
            what = "not as its template renders it now" if path.is_file() else "not there"
            raise RunFailed(f"{path}: {what}; run `python -m tools render {exp.file} {run.key}` first")


def _keep_filters(run: Run, rendered: Rendered, subset: Subset, source: Path) -> tuple[Path, Record]:
    """A caffemodel of the source net with only the chosen filters of one layer, and which filters these are."""
    (layer,) = (row.layer for row in rendered.plan if row.filters)
    weights = run.folder / "start_subset.caffemodel"
    chosen = filter_subset.write(weights, source, layer, subset, rendered.seed)
    filter_subset.check(weights, source, chosen)
    return weights, chosen


def _remove_leftovers(run: Run) -> None:
    """Removes what a finished training no longer needs: solverstates, and the net of the start proof."""
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
    """Runs `caffe train` with `arguments`. Writes its log to the run's folder. Returns parsed log and command.

    Raises RunFailed unless the log says that training is finished.
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
    """How many times this training was started with the same inputs, including this time."""
    path = run.folder / "attempts.json"
    last = read_json(path)
    count = int(last["count"]) + 1 if last and last["inputs"] == inputs else 1
    write_json(path, {"inputs": inputs, "count": count})
    return count


def _iteration(snapshot: Path) -> int:
    """N of net_iter_N.caffemodel."""
    return int(snapshot.name.partition("_iter_")[2].partition(".")[0])


def _last_snapshot(run: Run) -> Path | None:
    """The newest solverstate whose caffemodel is there too."""
    states = [s for s in run.folder.glob("net_iter_*.solverstate") if s.with_suffix(".caffemodel").exists()]
    return max(states, key=_iteration, default=None)


def _last_caffemodel(run: Run) -> Path:
    """The caffemodel of the last iteration; those of earlier snapshots are deleted."""
    caffemodels = sorted(run.folder.glob("net_iter_*.caffemodel*"), key=_iteration)
    for old in caffemodels[:-1]:
        old.unlink()
    return caffemodels[-1]


def _clear(run: Run) -> None:
    """Removes what an earlier attempt, or a run with other inputs, left behind."""
    for pattern in ("net_iter_*", "start*", LOG, "train.csv", "test*.csv", "curves.csv", "predict*"):
        for path in run.folder.glob(pattern):
            path.unlink()


def main(argv: list[str]) -> None:
    parser = cli.parser("train", __doc__)
    cli.add_run(parser)
    arguments = parser.parse_args(argv)
    exp = load(arguments.experiment, arguments.set)
    engine = find_engine()
    run = find_run(exp, engine.name, arguments.run)
    with lock(run.lock):
        training = train(exp, run, engine)
    print(
        f"{run.folder}: trained in {training['seconds']} s: {training['model']['file']}; "
        f"proofs: {training['proofs'] or 'nothing was copied'}"
    )
