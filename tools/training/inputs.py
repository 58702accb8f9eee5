"""The one judge of "complete": verb and graph ask it the same question.

A run is complete when its manifest.json, renamed into place last, records the same inputs that the run would have now:
rendered prototxt, image lists, mean, weights, engine version. Predictions are made from its net and can be added later.
"""

import hashlib
from pathlib import Path

from tools.common.errors import UserError
from tools.common.files import read_json, sha256
from tools.nets.templates import NET, SOLVER, render
from tools.protocol.experiment import Experiment
from tools.protocol.layout import Run, split_of
from tools.protocol.runs import mean_of, source_run, train_set
from tools.results.columns import PREDICTIONS
from tools.training.engine import Engine


class NotReady(UserError):
    """Something that a run needs is not there yet; the text names it and the verb that makes it."""


def run_inputs(exp: Experiment, run: Run, engine: Engine) -> dict[str, str]:
    """What the run's result depends on, as checksums. Raises NotReady where some of it is not there yet."""
    split = split_of(exp, run.seed)
    if read_json(split.marker) is None:
        raise NotReady(f"{split.marker}: not there yet; run `python -m tools split {exp.file}` first")
    rendered = render(exp, run)
    found = {NET: _digest(rendered.net), SOLVER: _digest(rendered.solver)}
    half, size = train_set(exp, run)
    for name, lmdb in (("train_list", split.train_lmdb(half, size)), ("val_list", split.val_lmdb(half))):
        packed = read_json(lmdb / "pack.json")
        if packed is None or not (lmdb / "data.mdb").exists():
            raise NotReady(f"{lmdb}: no LMDB yet; run `python -m tools pack {exp.file}` first")
        found[name] = packed["list_sha256"]
    mean = mean_of(exp, run)
    if not mean.exists():
        raise NotReady(f"{mean}: not there yet; run `python -m tools mean {exp.file}` first")
    found["mean"] = sha256(mean)
    source = source_run(exp, run)
    if source:
        found["weights"] = source_weights(source)[1]
    found["engine"] = engine.version
    return found


def source_weights(source: Run) -> tuple[Path, str]:
    """The source net's caffemodel and its checksum. Raises NotReady until the source run is finished."""
    manifest = read_json(source.manifest)
    if manifest is None:
        raise NotReady(
            f"{source.folder}: its source net is not trained yet; run `python -m tools run` on {source.key} first"
        )
    return source.folder / manifest["model"]["file"], manifest["model"]["sha256"]


def is_complete(exp: Experiment, run: Run, engine: Engine) -> bool:
    """Whether the run's result stands. False, too, where that cannot be told yet."""
    return _stands(exp, run, engine, read_json(run.manifest))


def take_back(exp: Experiment, run: Run, engine: Engine) -> None:
    """Puts back a manifest that was set aside (its source net was to be trained again, say), if it stands after all."""
    if not run.manifest.exists() and _stands(exp, run, engine, read_json(run.stale_manifest)):
        run.stale_manifest.rename(run.manifest)


def _stands(exp: Experiment, run: Run, engine: Engine, manifest: dict | None) -> bool:
    try:
        return manifest is not None and manifest["inputs"] == run_inputs(exp, run, engine)
    except NotReady:
        return False


def lacks_predictions(run: Run, manifest: dict) -> bool:
    """Whether a finished run has no predictions.npz as its manifest says, and still has the net that can make it.

    The run is complete without: an older manifest has none, and a net that diverged predicts nothing.
    """
    if manifest["result"]["status"] == "diverged" or not (run.folder / manifest["model"]["file"]).exists():
        return False
    known = manifest.get("predictions")
    file = run.folder / PREDICTIONS
    return known is None or not file.exists() or sha256(file) != known["sha256"]


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()
