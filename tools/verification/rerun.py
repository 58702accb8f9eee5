"""Trains finished runs again, in a folder of their own, and compares the nets with the first ones.

The folder is a project root: models/ in it has the source net as a link, and everything else is a link, too. So all
paths, and with them the prototxts, are the same as in the first training.
"""

import os
import random
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from caffeformat.blobs import read_caffemodel
from tools.common.checkout import CHECKOUT
from tools.common.errors import UserError
from tools.common.files import create_locked, load_json, remove_leftovers
from tools.common.parent_death import with_this_process
from tools.protocol.experiment import Experiment
from tools.protocol.layout import MODELS, RESULTS, Run
from tools.protocol.runs import source_run
from tools.training.gpus import SLOTS
from tools.training.kernels import KERNELS
from tools.training.machine import THREADS, machine
from tools.verification.commands import with_keys


@dataclass(frozen=True)
class Comparison:
    """equal: the nets have the same bytes. must_be: on this machine they have to. text: how far they are apart."""

    run: Run
    equal: bool
    must_be: bool
    text: str


def draw(exp: Experiment, finished: dict[Run, dict], count: int, seed: int) -> list[Run]:
    """`count` of the finished runs whose source net, if they copy from one, is here. At random, by `seed`.

    Raises UserError if there is none.
    """
    able = [run for run in finished if (source := source_run(exp, run)) is None or _net(source, finished)]
    if not able:
        raise UserError(f"{exp.file}: no finished run can be trained again here; the nets that they copy from are gone")
    return random.Random(seed).sample(sorted(able, key=lambda run: run.key), min(count, len(able)))


def _net(run: Run, finished: dict[Run, dict]) -> Path | None:
    """The caffemodel of a finished run, if it is here."""
    path = run.folder / finished[run]["model"]["file"] if run in finished else None
    return path if path and path.is_file() else None


def train_again(exp: Experiment, run: Run, finished: dict[Run, dict], overrides: str) -> Comparison:
    """Trains the run with the number of threads of the first time. Raises UserError if the training fails.

    `overrides`: those of the experiment; they must select the run.
    """
    keys = {"keep_models": "all"} | ({"path": _quoted(str(Path(exp.path).resolve()))} if exp.path else {})
    given = with_keys(overrides, {"keep_models", "path"}, **keys)
    command = [sys.executable, "-m", "tools", "run", str(exp.file.resolve()), run.key, "--set", given]
    with _root(run, source_run(exp, run)) as root:
        environment = _environment(finished[run])
        result = subprocess.run(
            command, cwd=root, env=environment, capture_output=True, text=True, preexec_fn=with_this_process()
        )
        if result.returncode:
            raise UserError(f"{run.folder}: did not train again: {result.stderr.strip() or result.stdout.strip()}")
        again = load_json(root / run.manifest)
        return _compare(run, finished[run], again, _net(run, finished), root / run.folder / again["model"]["file"])


def _quoted(text: str) -> str:
    return f'"{text}"' if "'" in text else f"'{text}'"


@contextmanager
def _root(run: Run, source: Run | None) -> Iterator[Path]:
    """A project root in results/, whose only own folder is that of the run. It is removed at the end."""
    RESULTS.mkdir(exist_ok=True)
    remove_leftovers(RESULTS)
    root, here = Path(RESULTS, f".rerun.{os.getpid()}.part").absolute(), Path.cwd()
    try:
        with create_locked(root, Path.mkdir):
            for path in here.iterdir():
                if path.name not in (MODELS.name, RESULTS.name, ".snakemake", ".git"):
                    (root / path.name).symlink_to(path)
            (root / run.folder).parent.mkdir(parents=True)
            for shared in (SLOTS, source.folder if source else None):
                if shared and shared.exists():
                    (root / shared).parent.mkdir(parents=True, exist_ok=True)
                    (root / shared).symlink_to(shared.absolute())
            yield root
    finally:
        shutil.rmtree(root, ignore_errors=True)


def _environment(manifest: dict[str, Any]) -> dict[str, str]:
    """The environment, with the first training's number of threads and kernels where its manifest has them."""
    environment = {name: value for name, value in os.environ.items() if name not in THREADS}
    then = manifest.get("machine")
    threads = then["threads"] if then else {name: os.environ[name] for name in THREADS if name in os.environ}
    if then and "kernels" in then:
        environment[KERNELS] = then["kernels"] or ""  # empty: those that OpenBLAS takes of itself
    else:  # trained before a manifest named them, or the pipeline chose them
        environment.setdefault(KERNELS, "")
    paths = [str(CHECKOUT), *filter(None, [os.environ.get("PYTHONPATH")])]
    return environment | threads | {"PYTHONPATH": os.pathsep.join(paths)}


def _compare(run: Run, then: dict[str, Any], again: dict[str, Any], first: Path | None, second: Path) -> Comparison:
    equal = then["model"]["sha256"] == again["model"]["sha256"]
    if equal:
        return Comparison(run, True, False, "the same net, byte by byte")
    differs = _other_circumstances(then, again)
    facts = [f"accuracy {then['result']['accuracy']:.6f} then, {again['result']['accuracy']:.6f} now"]
    if first:
        facts.append(f"weights differ by at most {weight_distance(first, second):.3g}")
    else:
        facts.append("the first net is gone, so weights are not compared")
    reason = f"another {', '.join(differs)}" if differs else "the same processor, engine and number of threads"
    return Comparison(run, False, not differs, f"another net, with {reason}: {'; '.join(facts)}")


def _other_circumstances(then: dict[str, Any], again: dict[str, Any]) -> list[str]:
    """What is not as it was, or not known, of what the bytes of a net depend on."""
    before, trained = then.get("machine") or {}, again.get("machine") or {}
    now = machine() | {name: trained.get(name) for name in ("threads", "kernels")}
    differs = [name for name in ("processor", "cores", "threads") if before.get(name) != now.get(name)]
    if "kernels" in before and before["kernels"] != now["kernels"]:
        differs.append("kernels")
    if then["engine"].get("version") != again["engine"].get("version"):
        differs.append("engine")
    if {then["engine"].get("device"), again["engine"].get("device")} != {"cpu"}:
        differs.append("device than the CPU, on which sums have an order")
    if then["inputs"] != again["inputs"] and "engine" not in differs:
        differs.append("input")
    return differs


def weight_distance(first: Path, second: Path) -> float:
    """The largest absolute difference of two weights in the same place; infinite if the nets have other layers."""
    ours, theirs = read_caffemodel(first), read_caffemodel(second)
    if _shapes(ours) != _shapes(theirs):
        return float("inf")
    pairs = [(a, b) for name, blobs in ours.items() for a, b in zip(blobs, theirs[name], strict=True) if a.size]
    return max((float(np.abs(a.astype(np.float64) - b).max()) for a, b in pairs), default=0.0)


def _shapes(net: dict[str, list[np.ndarray]]) -> dict[str, list[tuple[int, ...]]]:
    return {name: [blob.shape for blob in blobs] for name, blobs in net.items()}
