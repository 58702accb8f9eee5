"""Run `caffe train` on a rendered run, and prove what was copied, drawn at random and frozen.

    python -m tools train experiments/demo.yaml A2B/n0060/S3T/seed20

The log is kept as caffe.log. train.json, written last, records how the training went. BVLC Caffe cannot resume exactly,
because a solverstate holds no data cursor and no random state. So a killed run starts again, unless the experiment has
`resume: true`.
"""

import time
from pathlib import Path
from typing import Any

from caffeformat import prototxt
from caffeformat.blobs import layer_blob_bytes
from tools import cli
from tools.common.files import is_whole, lock, lock_shared, read_json, sha256, write_record
from tools.common.stage import Record
from tools.nets.templates import NET, SOLVER, Rendered, render
from tools.protocol.conditions import Subset
from tools.protocol.experiment import Experiment, load
from tools.protocol.layout import Run, lmdb_users
from tools.protocol.runs import condition_of, find_run, source_run
from tools.training import filter_subset, proofs
from tools.training.attempts import count_attempt
from tools.training.caffe_train import LOG, START, CaffeTrain, clear
from tools.training.engine import Engine, engine_of
from tools.training.gpus import gpu_slot
from tools.training.inputs import has_same_images, run_inputs, trained_weights
from tools.training.machine import machine
from tools.training.process import RunFailed
from tools.training.snapshots import whole_snapshots
from tools.training.used import used_files

RECORD = "train.json"


def train(exp: Experiment, run: Run, engine: Engine) -> Record:
    """Trains in the run's folder and returns what train.json then holds. The caller holds the run's lock.

    Raises RunFailed if the engine fails or a file that it reads is not what its record says, ProofFailed if the engine
    did not do what the prototxt says. train.json is written when net and log are proven whole.
    """
    inputs = run_inputs(exp, run, engine)
    if training := _finished(exp, run, inputs):
        _remove_leftovers(run)
        return training
    (run.folder / RECORD).unlink(missing_ok=True)
    rendered = render(exp, run)
    _check_rendered(exp, run, rendered)
    used = used_files(exp, run)
    source = source_run(exp, run)
    weights = trained_weights(source)[0] if source else None
    attempt = count_attempt(run, inputs)
    goes_on = exp.resume and attempt > 1
    snapshots = whole_snapshots(run, rendered.plan, run.folder / LOG) if goes_on else iter(())
    clear(run, START)
    proof: Record = {}
    condition = condition_of(run)
    if condition.subset and not condition.retained and weights:
        weights, proof["subset"] = _keep_filters(run, rendered, condition.subset, weights)
    copied = [f"--weights={weights}"] if weights else []
    start = None
    with gpu_slot(engine) as gpu:
        caffe = CaffeTrain(exp, run, engine, gpu, rendered)
        if weights or condition.frozen:
            start = caffe.write_start(copied)
        if start and weights:
            net = prototxt.read_net(run.folder / NET)
            proof["start"] = proofs.check_start(rendered.plan, start, layer_blob_bytes(weights), net)
        began = time.time()
        log, command, resumed_at, trained = caffe.train(copied, snapshots, used)
    if weights:
        proof["ignored"] = proofs.check_ignored(rendered.plan, log.ignored_layers)
    if start:
        proof["end"] = proofs.check_end(rendered.plan, start, trained)
    training = {
        "inputs": inputs,
        "used": used,
        "command": command,
        "device": "cpu" if gpu is None else f"gpu {gpu}",
        "machine": machine(engine),
        "began": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(began)),
        "seconds": round(time.time() - began, 1),
        "attempts": attempt,
        "resumed_at": resumed_at,
        "proofs": proof,
        "model": {"file": trained.name, "sha256": sha256(trained)},
    }
    write_record(run.folder / RECORD, training)
    _remove_leftovers(run)
    return training


def _finished(exp: Experiment, run: Run, inputs: dict[str, str]) -> Record | None:
    """What train.json holds, if it is of a training with these inputs, and its log and its very net are there."""
    training: Any = read_json(run.folder / RECORD)
    try:
        model = run.folder / training["model"]["file"]
        same = training["inputs"] == inputs and has_same_images(exp, run, training) and (run.folder / LOG).is_file()
        whole = same and is_whole(training) and sha256(model) == training["model"]["sha256"]
        return dict(training) if whole else None
    except (OSError, TypeError, KeyError):
        return None


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
    clear(run, (*START, "*.solverstate*", ".*.partial"))


def main(argv: list[str]) -> None:
    parser = cli.parser("train", __doc__)
    cli.add_run(parser)
    arguments = parser.parse_args(argv)
    exp = load(arguments.experiment, arguments.set)
    engine = engine_of(exp)
    run = find_run(exp, engine.name, arguments.run)
    with lock(run.lock), lock_shared(lmdb_users(exp)):
        training = train(exp, run, engine)
    print(
        f"{run.folder}: trained in {training['seconds']} s: {training['model']['file']}; "
        f"proofs: {training['proofs'] or 'nothing was copied'}"
    )
