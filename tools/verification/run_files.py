"""The files of a finished run, the inputs that its manifest names, and what its copied layers still prove."""

import hashlib
import math
import tempfile
from pathlib import Path
from typing import Any

import numpy as np

from caffeformat import FormatError, prototxt
from caffeformat.blobs import layer_blob_bytes
from caffeformat.caffeformat_pb2 import NetParameter
from tools.caffe_log import LogReader
from tools.common.errors import UserError
from tools.common.files import is_whole, read_json
from tools.common.lmdb_checksum import CHECKSUM
from tools.common.stage import NotReady
from tools.nets.templates import NET, SOLVER, render
from tools.protocol.experiment import Experiment
from tools.protocol.layout import Run, split_of
from tools.protocol.runs import condition_of, mean_of, source_run, train_set
from tools.results.columns import CURVES, PREDICTIONS, read_log_csv
from tools.training import filter_subset, proofs
from tools.training.engine import Engine
from tools.training.inputs import run_stage
from tools.verification.commands import Commands, is_restored
from tools.verification.findings import Check, Findings

LOG = "caffe.log"
_TABLES, _PREDICTING = ("train.csv", "test.csv"), ("predict.prototxt", PREDICTIONS)
_OF_OLD = ("plan.txt", LOG, *_TABLES, "predict.prototxt", CURVES)  # older manifests do not name them


def read_manifest(run: Run, commands: Commands, findings: Findings) -> dict[str, Any] | None:
    """The run's manifest; None, with a fault, if it is broken."""
    manifest = read_json(run.manifest)
    if isinstance(manifest, dict) and all(isinstance(manifest.get(k), dict) for k in ("inputs", "model", "result")):
        if is_whole(manifest):
            return manifest
        findings.add(run.manifest, "changed since it was written", commands.without(run, run.manifest.name))
        return None
    findings.add(run.manifest, "broken: not JSON, or a part is missing", commands.without(run, run.manifest.name))
    return None


def run_checks(run: Run, manifest: dict[str, Any], commands: Commands) -> list[Check]:
    """The files that the run left, and their checksums."""
    net = manifest["model"]["file"]
    recorded: dict[str, str | None] = {name: manifest["inputs"].get(name) for name in (NET, SOLVER)}
    recorded |= {net: manifest["model"]["sha256"], **manifest.get("outputs", {})}
    if predictions := manifest.get("predictions"):
        recorded[PREDICTIONS] = predictions.get("sha256")
    recorded[SOLVER] = _of_solver(run.folder / SOLVER, recorded[SOLVER])
    recorded |= {name: None for name in _OF_OLD if name not in recorded and (run.folder / name).is_file()}
    if is_restored(run):  # it has these alone
        recorded = {name: digest for name, digest in recorded.items() if name in (CURVES, PREDICTIONS)}
    return [
        Check(run.folder / name, digest, _command(run, name, commands), name == net, name == net)
        for name, digest in recorded.items()
    ] + ([Check(run.folder / net, None, "", True, True)] if is_restored(run) else [])


def _of_solver(file: Path, recorded: str | None) -> str | None:
    """The checksum that the file must have; its own if it only has the line that older solvers lack."""
    if not file.is_file():
        return recorded
    text = file.read_bytes()
    without = hashlib.sha256(text.replace(b"snapshot_after_train: true\n", b"")).hexdigest()
    return hashlib.sha256(text).hexdigest() if without == recorded else recorded


def _command(run: Run, name: str, commands: Commands) -> str:
    if name in (NET, SOLVER, "plan.txt"):
        return commands.of_run("render", run)
    if name in _TABLES and (run.folder / LOG).is_file():
        return commands.parse(run)
    return commands.without(run, *_PREDICTING) if name in _PREDICTING else commands.train_again(run)


def check_inputs(
    run: Run, manifest: dict[str, Any], engine: Engine, commands: Commands, findings: Findings, damaged: set[Path]
) -> None:
    """Adds a fault if the run was made from other inputs than there are now.

    `damaged`: files that have a fault of their own; what was made from them gets none. Another version of the engine is
    no fault: the results are as good.
    """
    exp = commands.exp
    split = split_of(exp, run.seed)
    lmdbs = [split.train_lmdb(*train_set(exp, run)), split.val_lmdb(train_set(exp, run)[0])]
    mean = mean_of(exp, run)
    if damaged & {split.marker, split.packed, mean, *(lmdb / name for lmdb in lmdbs for name in _OF_LMDB)}:
        return
    source = source_run(exp, run)
    if source and source.manifest in damaged:
        return
    try:
        changed = run_stage(exp, run, engine).changed(manifest)
    except NotReady as error:
        findings.add(run.manifest, f"an input is not there: {error}", commands.sweep(run))
        return
    except (UserError, FormatError) as error:
        findings.add(run.manifest, f"its inputs cannot be made again: {error}", commands.sweep(run))
        return
    if "engine" in changed:
        then, now = manifest["inputs"].get("engine"), engine.version
        findings.left_out[f"trained by {then}, which is not here ({now}): a sweep would train them again"].append(
            run.key
        )
    changed = [name for name in changed if name != "engine"] + _repacked(manifest, lmdbs)
    if changed:
        what = f"made from another {', '.join(changed)} than there is now"
        findings.add(run.manifest, what, commands.train_again(run))


def check_result(run: Run, manifest: dict[str, Any], commands: Commands, findings: Findings) -> None:
    """Adds a fault if the manifest's accuracy and loss are not those of the last test in test.csv.

    A manifest that was edited is found, and one whose headline is of another output of the net.
    """
    file = run.folder / "test.csv"
    if not file.is_file() or {file, run.manifest, split_of(commands.exp, run.seed).marker} & findings.damaged:
        return
    try:
        rendered = render(commands.exp, run)
        tests = [row for row in read_log_csv(file) if row["TestNet"] == 0 and row["NumIters"]]
    except (UserError, FormatError, ValueError) as error:
        findings.left_out[f"cannot be read: {error}"].append(str(file))
        return
    for name, column in (("accuracy", rendered.accuracy), ("loss", rendered.loss)):
        there, here = manifest["result"].get(name), tests[-1].get(column) if tests else None
        if there != here and not (_is_nan(there) and _is_nan(here)):
            what = f"its {name} is {there}, and {column} is {here} in the last test of {file}"
            findings.add(run.manifest, what, commands.without(run, run.manifest.name))
            return


def _is_nan(value: Any) -> bool:
    return isinstance(value, float) and math.isnan(value)


_OF_LMDB = ("pack.json", "data.mdb")


def _repacked(manifest: dict[str, Any], lmdbs: list[Path]) -> list[str]:
    """The LMDBs that were other files when the run used them: packed again from the same list, with other pixels."""
    used, again = manifest.get("used") or {}, []
    for name, lmdb in zip(("train_data", "val_data"), lmdbs, strict=True):
        recorded = (read_json(lmdb / "pack.json") or {}).get(CHECKSUM) or {}
        if used.get(name) and recorded.get("sha256") != used[name]:
            again.append(str(lmdb / "data.mdb"))
    return again


def provable(exp: Experiment, run: Run, manifest: dict[str, Any]) -> list[Path]:
    """The nets, and the log, that show what the run copied: its own and the source net. Empty where one is gone."""
    source = source_run(exp, run)
    of_source = read_json(source.manifest) if source else None
    if source is None or not isinstance(of_source, dict) or "model" not in of_source:
        return []
    files = [run.folder / manifest["model"]["file"], source.folder / of_source["model"]["file"], run.folder / LOG]
    return files if all(file.is_file() for file in files) else []


def copy_fault(exp: Experiment, run: Run, manifest: dict[str, Any], files: list[Path]) -> str:
    """What the two nets and the log show that is not as the run's condition says; empty if all is.

    Copied and frozen layers are the source net's, bit by bit, also after training. Layers that started random are not.
    Two that are not numbers, of nets that diverged, show nothing.
    The log names exactly the renamed layers as ignored. (Copied layers that learn have changed: only the start showed
    that they were copied. The manifest has that proof.)
    """
    trained, source, log = files
    try:
        rendered = render(exp, run)
        reader = LogReader()
        with open(log, encoding="utf-8", errors="replace") as lines:
            for line in lines:
                reader.feed(line)
        proofs.check_ignored(rendered.plan, reader.finish().ignored_layers)
        with tempfile.TemporaryDirectory() as scratch:
            subset = condition_of(run).subset
            if subset and not condition_of(run).retained:
                (layer,) = (row.layer for row in rendered.plan if row.filters)
                kept = Path(scratch, "subset.caffemodel")
                chosen = filter_subset.write(kept, source, layer, subset, rendered.seed)
                if chosen != manifest["proofs"].get("subset"):
                    return f"its manifest names other filters of {layer} than the source net gives"
                source = kept
            at_end, theirs = layer_blob_bytes(trained), layer_blob_bytes(source)
        fixed = proofs.fixed_at_a_constant(prototxt.parse(rendered.net, NetParameter(), NET))
        for row in rendered.plan:
            if row.copied and row.frozen and at_end[row.name] != theirs[row.layer]:
                return f"layer {row.name} was copied and frozen, and is not the source net's {row.layer}"
            ours = at_end[row.name][0]
            random = not row.copied and row.name not in fixed
            if random and ours == theirs[row.layer][0] and np.isfinite(np.frombuffer(ours, "<f4")).all():
                return f"layer {row.name} started random, and is the source net's {row.layer}"
    except (UserError, FormatError, KeyError) as error:
        return f"its copied layers cannot be proven: {error}"
    return ""
