"""Train one run to its end: render, train, parse, predict, and the manifest that says it is complete.

    python -m tools run experiments/demo.yaml A2B/n0060/S3T/seed20

Does nothing when the run is complete already. After a kill at any moment the same command ends with the same result.
"""

import subprocess
import time
from collections import Counter

from tools import cli, parse, predict, render, train
from tools.common.checkout import CHECKOUT
from tools.common.errors import UserError
from tools.common.files import checksums, load_json, lock, lock_shared, read_json, sha256, write_json, write_record
from tools.common.stage import NotReady, Record, Stage
from tools.nets.templates import NET, SOLVER, Rendered
from tools.protocol.experiment import Experiment, load
from tools.protocol.layout import Run, lmdb_users, split_of
from tools.protocol.runs import find_run, is_copied_from, runs_of, train_set
from tools.results.columns import PREDICTIONS
from tools.training.attempts import attempts
from tools.training.caffe_train import LOG
from tools.training.engine import Engine, engine_of
from tools.training.inputs import lacks_predictions, put_back_manifest, run_stage
from tools.training.learning import Chance, chance_of
from tools.training.outcome import outcome
from tools.training.process import Contradiction, RunFailed

# What a finished run leaves in its folder, beside its net. The manifest has their checksums.
OUTPUTS = (NET, SOLVER, render.PLAN, LOG, parse.TRAIN, parse.TEST, predict.MODEL, PREDICTIONS)


def run_one(exp: Experiment, run: Run, engine: Engine) -> Record:
    """Completes the run, if it is not complete, and returns its manifest. Waits while another process works on it.

    Raises RunFailed (failed.json in the run's folder then has the reason) and the errors of the verbs.
    """
    with lock(run.lock), lock_shared(lmdb_users(exp)):
        put_back_manifest(exp, run, engine)
        stage = run_stage(exp, run, engine)
        if (manifest := stage.record) is not None and stage.is_complete:
            return _with_predictions(run, engine, manifest)
        for old in (run.manifest, run.stale_manifest, run.failed):
            old.unlink(missing_ok=True)
        rendered = render.write(exp, run)
        try:
            training = train.train(exp, run, engine)
            manifest = _manifest(exp, run, engine, training, _outcome(exp, run, rendered))
            manifest["predictions"] = _predictions(run, engine, manifest)
            manifest["outputs"] = checksums(run.folder, (*OUTPUTS, training["model"]["file"]))
        except Exception as error:
            if isinstance(error, Contradiction):
                (run.folder / train.RECORD).unlink(missing_ok=True)  # the same command trains again
            if not isinstance(error, NotReady):
                write_json(run.failed, {"run": run.key, "error": str(error), "attempts": attempts(run)})
            raise
        _compare_with_previous(run, stage, manifest)
        write_record(run.manifest, manifest)
        run.previous_manifest.unlink(missing_ok=True)
        if exp.keep_models != "all" and not is_copied_from(exp, run, engine.name):
            (run.folder / training["model"]["file"]).unlink()
        return manifest


def _compare_with_previous(run: Run, stage: Stage, manifest: Record) -> None:
    """After retraining a deleted net, records the old checksum and prints whether the new net matches it."""
    previous = read_json(run.previous_manifest)
    if previous is None or not stage.is_up_to_date(previous):
        return
    manifest["model"]["sha256_before"] = previous["model"]["sha256"]
    same = manifest["model"]["sha256"] == previous["model"]["sha256"]
    text = "the same net, byte by byte" if same else "not the same net: runs that copied from it are trained again"
    print(f"{run.key}: trained again: {text}", flush=True)


def _predictions(run: Run, engine: Engine, manifest: Record) -> Record | None:
    """The manifest's entry about the predictions; None for a net that diverged, which has no scores."""
    result = manifest["result"]
    if result["status"] == "diverged":
        return None
    return predict.predict(run, engine, run.folder / manifest["model"]["file"], result["accuracy"])


def _with_predictions(run: Run, engine: Engine, manifest: Record) -> Record:
    """The manifest of a complete run, with predictions made if they are missing.

    If that fails the manifest is set aside, and failed.json says why.
    """
    if not lacks_predictions(run, manifest):
        return manifest
    try:
        weights = run.folder / manifest["model"]["file"]
        if sha256(weights) != manifest["model"]["sha256"]:
            raise RunFailed(f"{weights}: not the net that its manifest.json names; remove it, or the run's folder")
        manifest["predictions"] = _predictions(run, engine, manifest)
    except Exception as error:
        write_json(run.failed, {"run": run.key, "error": str(error), "attempts": manifest["attempts"]})
        run.manifest.rename(run.stale_manifest)
        raise
    run.failed.unlink(missing_ok=True)
    if "outputs" in manifest:
        manifest["outputs"] |= checksums(run.folder, (predict.MODEL, PREDICTIONS))
    write_record(run.manifest, manifest)
    return manifest


def _outcome(exp: Experiment, run: Run, rendered: Rendered) -> Record:
    """The result in the run's log. Raises Contradiction if the log does not have it."""
    split = load_json(split_of(exp, run.seed).marker)
    half, _ = train_set(exp, run)
    classes = len(split["classes"][half])
    try:
        log = parse.parse(run.folder / LOG, run.folder)
        outputs = exp.fc8_outputs or classes
        return outcome(
            log, rendered, classes, outputs, split["counts"][half]["val"], _chance(exp, run, classes, outputs)
        )
    except UserError as error:
        raise Contradiction(str(error)) from error


def _chance(exp: Experiment, run: Run, classes: int, outputs: int) -> Chance | None:
    """Chance for the images of each class in the run's lists; None if a list is gone or empty."""
    split, (half, size) = split_of(exp, run.seed), train_set(exp, run)
    counts = []
    for path in (split.train_list(half, size), split.val_list(half)):
        if not path.is_file():
            return None
        labels = Counter(line.rpartition(" ")[2] for line in path.read_text().splitlines())
        counts.append([labels[str(label)] for label in range(classes)])
    return chance_of(counts[0], counts[1], outputs) if all(map(any, counts)) else None


def _manifest(exp: Experiment, run: Run, engine: Engine, training: Record, result: Record) -> Record:
    return {
        "run": run.key,
        "experiment": run.experiment,
        "file": str(exp.file),
        "set": exp.overrides,
        "config": exp.model_dump(),
        "inputs": training["inputs"],
        "engine": {
            "name": engine.name,
            "version": engine.version,
            "device": training["device"],
            "command": training["command"],
        },
        "commit": _commit(),
        "machine": training.get("machine"),
        "began": training["began"],
        "ended": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
        "used": training.get("used"),
        "left_out": _left_out(exp, run),
        "attempts": training["attempts"],
        "resumed_at": training.get("resumed_at", []),
        "proofs": training["proofs"],
        "result": result,
        "model": training["model"],
    }


def _left_out(exp: Experiment, run: Run) -> Record:
    """The images of the data set that `on_bad_image: skip` left out: of the split, and of the run's LMDBs."""
    place, (half, size) = split_of(exp, run.seed), train_set(exp, run)
    split = load_json(place.marker)
    packed = [load_json(lmdb / "pack.json") for lmdb in (place.train_lmdb(half, size), place.val_lmdb(half))]
    return {
        "missing": split["missing"]["count"],
        "unreadable": split["unreadable"]["count"],
        "not_packed": sum(record["skipped"] for record in packed),
    }


def _commit() -> str | None:
    """The checkout's commit, followed by `+` if the tree has changes."""
    git = ["git", "-C", str(CHECKOUT)]
    try:
        head = subprocess.run([*git, "rev-parse", "HEAD"], capture_output=True, text=True)
        changes = subprocess.run([*git, "status", "--porcelain"], capture_output=True, text=True)
    except OSError:
        return None
    return head.stdout.strip() + ("+" if changes.stdout.strip() else "") if head.returncode == 0 else None


def main(argv: list[str]) -> None:
    parser = cli.parser("run", __doc__)
    cli.add_run(parser)
    arguments = parser.parse_args(argv)
    exp = load(arguments.experiment, arguments.set)
    engine = engine_of(exp)
    run = find_run(exp, engine.name, arguments.run)
    began = time.monotonic()
    manifest = run_one(exp, run, engine)
    result = manifest["result"]
    flag = "" if result["status"] == "ok" else f"  {result['status'].upper()}"
    took = time.monotonic() - began
    runs = runs_of(exp, engine.name)
    count = f"[{sum(other.manifest.exists() for other in runs)}/{len(runs)}]"
    print(
        f"{count} {run.key}: accuracy {result['accuracy']:.4f}, loss {result['loss']:.4f}, {took:.0f} s{flag}",
        flush=True,
    )
