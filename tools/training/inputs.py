"""The inputs that a run's result depends on, and whether a finished run is up to date.

A run is complete if its manifest.json, which is renamed into place last, records the present inputs: rendered
prototxts, image lists, mean, weights, engine version. Predictions come from its net and can be added later.
"""

import hashlib
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from tools.common.files import read_json, sha256
from tools.common.lmdb_removal import is_removed
from tools.common.stage import NotReady, Record, Stage
from tools.nets.templates import NET, SOLVER, render
from tools.protocol.experiment import Experiment
from tools.protocol.layout import Run, split_of
from tools.protocol.runs import lmdbs_of, mean_of, source_run
from tools.results.columns import PREDICTIONS
from tools.training.engine import Engine

IMAGES = ("train_images", "val_images")  # names in `used`


def run_stage(exp: Experiment, run: Run, engine: Engine) -> Stage:
    """The run as a stage. Its nets are no outputs: `keep_models` may have removed them.

    A recorded solver without the line `snapshot_after_train: true` counts as the same solver: manifests of before
    November 2026 have none, because the value is Caffe's default and was not written then. The images of the LMDBs are
    compared where the manifest's `used` has them: other pixels can have the same list, and even the same mean.
    """

    def current(manifest: Record) -> dict[str, str]:
        inputs, recorded = run_inputs(exp, run, engine), manifest["inputs"].get(SOLVER)
        if recorded != inputs[SOLVER]:
            without = render(exp, run).solver.replace("snapshot_after_train: true\n", "")
            inputs[SOLVER] = recorded if recorded == _text_sha256(without) else inputs[SOLVER]
        return inputs | _used_images(manifest) | images_of(exp, run, _used_images(manifest))

    return Stage("run", run.manifest, current, lambda manifest: manifest["inputs"] | _used_images(manifest))


def images_of(exp: Experiment, run: Run, names: Iterable[str] = IMAGES) -> dict[str, str]:
    """The checksums of the images of the LMDBs that the run reads, for those that pack stored (`content`)."""
    lmdbs = dict(zip(IMAGES, lmdbs_of(exp, run), strict=True))
    packed = {name: read_json(lmdbs[name] / "pack.json") for name in names}
    return {
        name: record["content"] for name, record in packed.items() if isinstance(record, dict) and "content" in record
    }


def has_same_images(exp: Experiment, run: Run, record: Record) -> bool:
    """Whether the LMDBs have the images that `record` (manifest, train.json) says were used; older ones say none."""
    then = _used_images(record)
    return then | images_of(exp, run, then) == then


def _used_images(record: Record) -> dict[str, str]:
    used = record.get("used")
    return {name: used[name] for name in IMAGES if used.get(name)} if isinstance(used, dict) else {}


def run_inputs(exp: Experiment, run: Run, engine: Engine) -> dict[str, str]:
    """Name -> sha256 of everything that the run's result depends on, the engine's version line, and its precision
    unless that is fp32.

    Raises NotReady if an input does not exist yet. An LMDB that `keep_lmdbs` removed counts as there: its records are.
    """
    split = split_of(exp, run.seed)
    record = read_json(split.marker)
    if not isinstance(record, dict) or not {"classes", "counts"} <= record.keys():
        raise NotReady(f"{split.marker}: not there yet; run `python -m tools split {exp.file}` first")
    rendered = render(exp, run)
    inputs = {NET: _text_sha256(rendered.net), SOLVER: _text_sha256(rendered.solver)}
    for name, lmdb in zip(("train_list", "val_list"), lmdbs_of(exp, run), strict=True):
        packed: Any = read_json(lmdb / "pack.json")
        is_packed = isinstance(packed, dict) and "list_sha256" in packed
        if not is_packed or not ((lmdb / "data.mdb").exists() or is_removed(lmdb)):
            raise NotReady(f"{lmdb}: no LMDB yet; run `python -m tools pack {exp.file}` first")
        inputs[name] = packed["list_sha256"]
    mean = mean_of(exp, run)
    if not mean.exists():
        raise NotReady(f"{mean}: not there yet; run `python -m tools mean {exp.file}` first")
    inputs["mean"] = sha256(mean)
    source = source_run(exp, run)
    if source:
        inputs["weights"] = trained_weights(source)[1]
    inputs["engine"] = engine.version
    if engine.precision != "fp32":
        inputs["precision"] = engine.precision
    return inputs


def check_lmdbs(exp: Experiment, run: Run) -> None:
    """Raises NotReady if an LMDB that the run reads was removed (`keep_lmdbs`), and is not made again yet."""
    for lmdb in lmdbs_of(exp, run):
        if is_removed(lmdb):
            raise NotReady(f"{lmdb}: removed (keep_lmdbs); run `python -m tools pack {exp.file}` to make it again")


def trained_weights(run: Run) -> tuple[Path, str]:
    """The caffemodel of a finished run and its sha256, as its manifest has them. Raises NotReady until it is finished.

    The file itself may be gone (keep_models).
    """
    manifest = read_json(run.manifest)
    if manifest is None:
        raise NotReady(f"{run.folder}: its source net is not trained yet; run `python -m tools run` on {run.key} first")
    return run.folder / manifest["model"]["file"], manifest["model"]["sha256"]


def has_diverged(run: Run) -> bool:
    """Whether the run is finished and has diverged: what its net computes then is no result."""
    manifest = read_json(run.manifest)
    return manifest is not None and manifest["result"]["status"] == "diverged"


def is_own_net(net: Path, manifest: Record) -> bool:
    """Whether the caffemodel `net` is the one that the run's manifest names, byte by byte."""
    return net.is_file() and sha256(net) == manifest["model"]["sha256"]


def put_back_manifest(exp: Experiment, run: Run, engine: Engine) -> None:
    """Renames a manifest that was set aside back into place, if it is up to date after all.

    For example, its source net was trained again and is the same as before.
    """
    if not run.manifest.exists() and run_stage(exp, run, engine).is_up_to_date(read_json(run.stale_manifest)):
        run.stale_manifest.rename(run.manifest)


def lacks_predictions(run: Run, manifest: Record) -> bool:
    """Whether a finished run lacks its predictions.npz, and has the net to make it.

    A run is complete without predictions: older manifests have none, and a net that diverged predicts nothing.
    """
    if manifest["result"]["status"] == "diverged" or not (run.folder / manifest["model"]["file"]).exists():
        return False
    recorded = manifest.get("predictions")
    file = run.folder / PREDICTIONS
    return recorded is None or not file.exists() or sha256(file) != recorded["sha256"]


def _text_sha256(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()
