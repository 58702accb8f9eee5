"""One run: render, train, parse, predict, and the manifest that says it is complete. The graph's one job a training.

    python -m tools run experiments/demo.yaml A2B/n0600/S3T/seed0

Does nothing when the run is complete already. After a kill at any moment the same command ends with the same result.
"""

import os
import subprocess
import time

from tools import cli, parse, predict, render, train
from tools.common.checkout import CHECKOUT
from tools.common.files import lock, read_json, sha256, write_atomic, write_json
from tools.common.parent_death import die_with_parent
from tools.nets.templates import Rendered
from tools.protocol.experiment import Experiment, load
from tools.protocol.layout import Run, split_of
from tools.protocol.runs import find_run, is_copied_from, runs_of, source_run, train_set
from tools.training.engine import Engine, find
from tools.training.inputs import NotReady, is_complete, lacks_predictions, take_back
from tools.training.outcome import outcome
from tools.training.process import RunFailed


def run_one(exp: Experiment, run: Run, engine: Engine) -> dict:
    """Brings the run to its end, if it is not there, and returns its manifest. Waits while another process has the run.

    Raises RunFailed (then failed.json in the run's folder says why) and whatever the verbs raise.
    """
    with lock(run.lock):
        take_back(exp, run, engine)
        if is_complete(exp, run, engine):
            return _with_predictions(run, engine)
        for old in (run.manifest, run.stale_manifest, run.failed):
            old.unlink(missing_ok=True)
        rendered = render.write(exp, run)
        plan = render.copy_plan(run, source_run(exp, run), rendered.plan)
        write_atomic(run.folder / "plan.txt", plan + "\n")
        try:
            done = train.train(exp, run, engine)
            log = parse.parse(run.folder / train.LOG, run.folder)
            manifest = _manifest(exp, run, engine, done, _outcome(exp, run, rendered, log))
            manifest["predictions"] = _predictions(run, engine, manifest)
        except Exception as error:
            if not isinstance(error, NotReady):
                write_json(run.failed, {"run": run.key, "error": str(error), "attempts": _attempts(run)})
            raise
        _compare(run, manifest)
        write_json(run.manifest, manifest)
        run.previous_manifest.unlink(missing_ok=True)
        if exp.keep_models != "all" and not is_copied_from(exp, run, engine.name):
            (run.folder / done["model"]["file"]).unlink()
        return manifest


def _compare(run: Run, manifest: dict) -> None:
    """Of a net that was gone and is trained again, the manifest keeps the first one's checksum. Says if it differs."""
    before = read_json(run.previous_manifest)
    if before is None or before["inputs"] != manifest["inputs"]:
        return
    manifest["model"]["sha256_before"] = before["model"]["sha256"]
    same = manifest["model"]["sha256"] == before["model"]["sha256"]
    what = "the same net, byte by byte" if same else "not the same net: what was copied from the first is trained again"
    print(f"{run.key}: trained again: {what}", flush=True)


def _predictions(run: Run, engine: Engine, manifest: dict) -> dict | None:
    """None of a net that diverged: it has no scores."""
    result = manifest["result"]
    if result["status"] == "diverged":
        return None
    return predict.predict(run, engine, run.folder / manifest["model"]["file"], result["accuracy"])


def _with_predictions(run: Run, engine: Engine) -> dict:
    """The manifest of a complete run, and its predictions if it lacks them. If they fail, the manifest is set aside."""
    manifest = read_json(run.manifest)
    if not lacks_predictions(run, manifest):
        return manifest
    try:
        model = run.folder / manifest["model"]["file"]
        if sha256(model) != manifest["model"]["sha256"]:
            raise RunFailed(f"{model}: not the net that its manifest.json names; remove it, or the run's folder")
        manifest["predictions"] = _predictions(run, engine, manifest)
    except Exception as error:
        write_json(run.failed, {"run": run.key, "error": str(error), "attempts": manifest["attempts"]})
        run.manifest.rename(run.stale_manifest)
        raise
    run.failed.unlink(missing_ok=True)
    write_json(run.manifest, manifest)
    return manifest


def _outcome(exp: Experiment, run: Run, rendered: Rendered, log) -> dict:
    split = read_json(split_of(exp, run.seed).marker)
    half, _ = train_set(exp, run)
    classes = len(split["classes"][half])
    return outcome(log, rendered, classes, exp.fc8_outputs or classes, split["counts"][half]["val"])


def _manifest(exp: Experiment, run: Run, engine: Engine, done: dict, result: dict) -> dict:
    return {
        "run": run.key,
        "experiment": run.experiment,
        "file": str(exp.file),
        "set": exp.overrides,
        "config": exp.model_dump(),
        "inputs": done["inputs"],
        "engine": {
            "name": engine.name,
            "version": engine.version,
            "device": done["device"],
            "command": done["command"],
        },
        "commit": _commit(),
        "began": done["began"],
        "ended": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
        "attempts": done["attempts"],
        "proofs": done["proofs"],
        "result": result,
        "model": done["model"],
    }


def _attempts(run: Run) -> int:
    return (read_json(run.folder / "attempts.json") or {"count": 0})["count"]


def _commit() -> str | None:
    """The checkout's commit, `+` behind it where the tree has changes."""
    git = ["git", "-C", str(CHECKOUT)]
    try:
        head = subprocess.run([*git, "rev-parse", "HEAD"], capture_output=True, text=True)
        changes = subprocess.run([*git, "status", "--porcelain"], capture_output=True, text=True)
    except OSError:
        return None
    return head.stdout.strip() + ("+" if changes.stdout.strip() else "") if head.returncode == 0 else None


def main(argv: list[str]) -> None:
    parser = cli.parser("run", __doc__)
    parser.add_argument("run", help="the run's key or folder: A2B/n0300/S3T/seed0")
    arguments = parser.parse_args(argv)
    if "TOOLS_OF_SWEEP" in os.environ:
        die_with_parent()
    exp = load(arguments.experiment, arguments.set)
    engine = find()
    run = find_run(exp, engine.name, arguments.run)
    began = time.monotonic()
    manifest = run_one(exp, run, engine)
    result = manifest["result"]
    flag = "" if result["status"] == "ok" else f"  {result['status'].upper()}"
    took = time.monotonic() - began
    every = runs_of(exp, engine.name)
    count = f"[{sum(other.manifest.exists() for other in every)}/{len(every)}]"
    print(
        f"{count} {run.key}: accuracy {result['accuracy']:.4f}, loss {result['loss']:.4f}, {took:.0f} s{flag}",
        flush=True,
    )
