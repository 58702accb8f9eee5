"""Show what this machine has for the experiments, what is missing, and the command that installs it.

    python -m tools doctor

The exit status is 0 if `make demo-sweep` can run, 1 if something that it needs is missing.
"""

import os
import platform
import shutil
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from typing import Literal

from tools import cli
from tools.common.checkout import CHECKOUT
from tools.common.files import read_json
from tools.datasets import reader
from tools.protocol.register import Card, Space, card, datasets
from tools.training.engine import Engine, NoEngine, find_engine
from tools.training.gpus import selected_gpus
from tools.training.kernels import KERNELS, better_kernels
from tools.training.output import OutputFault, answer_of

State = Literal["ok", "note", "missing"]
DEMO = "demo"  # what this experiment needs must be there; the rest is only noted
DEBIAN_DATASETS = Path("/usr/share/datasets")


@dataclass(frozen=True)
class Finding:
    """One line of the output. With `missing` the demo cannot run; with `note` it can."""

    what: str
    state: State
    text: str
    mend: str = ""


def main(argv: list[str]) -> int:
    cli.bare_parser("doctor", __doc__).parse_args(argv)
    findings = []
    for finding in examine():
        findings.append(finding)
        print(f"{finding.what:13}  {finding.state:7}  {finding.text}", flush=True)
        if finding.mend:
            print(f"{'':13}  {'':7}  -> {finding.mend}", flush=True)
    able = all(finding.state != "missing" for finding in findings)
    print("\nThe demo can run: make demo-sweep" if able else "\nThe demo cannot run yet: see what is missing above.")
    return 0 if able else 1


def examine() -> Iterator[Finding]:
    try:
        engine = find_engine()
        yield Finding("engine", "ok", f"{engine.path}, {engine.version}")
        yield training(engine)
        if kernels := better_kernels(engine):
            own, better = kernels
            text = f"OpenBLAS takes {own}'s on this processor, without AVX2; the pipeline sets {KERNELS}={better}"
            yield Finding(
                "kernels", "note", text, f"where you call Caffe yourself: {KERNELS}={better} {engine.path} ..."
            )
        yield pycaffe(engine)
    except NoEngine as error:
        mend = "unset CAFFE; make caffe" if os.environ.get("CAFFE") else "make caffe"
        yield Finding("engine", "missing", str(error), mend)
    yield Finding("python", "ok", f"{platform.python_version()}, {sys.executable}")
    yield packages(CHECKOUT / "requirements.txt")
    for dataset, about, _ in with_experiments():
        yield images(dataset, about)
    yield from disk(shutil.disk_usage(".").free / 1e9)


def training(engine: Engine) -> Finding:
    """The device that runs will train on, and the reason if GPUs of the machine are not used."""
    cores, cards, chosen = len(os.sched_getaffinity(0)), machine_gpus(), selected_gpus(engine)
    on_cpu = f"on the CPU, {cores} cores"
    if chosen:
        return Finding("training", "ok", f"on GPU {', '.join(chosen)} of {'; '.join(cards)}; {cores} cores")
    if not cards:
        return Finding("training", "note", f"{on_cpu}: no NVIDIA GPU here")
    if "GPUS" in os.environ or "CUDA_VISIBLE_DEVICES" in os.environ:
        return Finding("training", "note", f"{on_cpu}: GPUS or CUDA_VISIBLE_DEVICES rules out {'; '.join(cards)}")
    reason = f"{on_cpu}: this engine cannot use {'; '.join(cards)}"
    return Finding("training", "note", reason, "CAFFE=/path/to/a/caffe/with/CUDA make ...")


def machine_gpus() -> list[str]:
    """The name of each GPU (`NVIDIA H200`); if the driver does not answer, the GPUs' device files."""
    try:
        status, lines = answer_of(["nvidia-smi", "-L"], with_stderr=False)
        if status == 0:
            return [line.partition(": ")[2].partition(" (UUID")[0] for line in lines]
    except FileNotFoundError:
        return []
    except (OSError, OutputFault) as error:
        return [f"GPU whose driver does not answer (nvidia-smi: {error})"]
    return [str(file) for file in sorted(Path("/dev").glob("nvidia[0-9]*"))]


def pycaffe(engine: Engine) -> Finding:
    """Looks for a `pycaffe` in the engine's folder, else for a python3 that imports caffe. Only tests need it."""
    beside = engine.path.parent / "pycaffe"
    for command in (str(beside), "python3"):
        program = shutil.which(command)
        if program and _imports_caffe(program):
            return Finding("pycaffe", "ok", program)
    return Finding("pycaffe", "note", "none; the tests and your own scripts need it, the sweeps do not", "make caffe")


def _imports_caffe(program: str) -> bool:
    try:
        return answer_of([program, "-c", "import caffe"])[0] == 0
    except (OSError, OutputFault):
        return False


def packages(requirements: Path) -> Finding:
    pinned = [line.split("==") for line in requirements.read_text().split() if "==" in line]
    wrong = [f"{name} {version} ({installed(name)})" for name, version in pinned if installed(name) != version]
    if not wrong:
        return Finding("packages", "ok", f"all {len(pinned)} as requirements.txt pins them")
    absent = [name for name, _ in pinned if installed(name) == "not installed"]
    listed = ", ".join(wrong[:4]) + (f" and {len(wrong) - 4} more" if len(wrong) > 4 else "")
    return Finding("packages", "missing" if absent else "note", f"other than pinned: {listed}", "make venv")


def installed(name: str) -> str:
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return "not installed"


def with_experiments() -> list[tuple[str, Card, Space]]:
    """The registered data sets that an experiment of the project uses, the smallest first."""
    cards = [(name, card(name)) for name in datasets()]
    complete = [(name, about, about.space) for name, about in cards if about.experiment and about.space]
    return sorted(complete, key=lambda entry: entry[2].lmdbs)


def images(dataset: str, about: Card) -> Finding:
    """Whether the data set was fetched or is in Debian's package. Never `missing`: a sweep begins with fetch."""
    record = read_json(Path("data") / dataset / "fetch.json")
    for folder in (Path("data") / dataset / record["folder"] if record else None, DEBIAN_DATASETS / dataset):
        if folder and reader(dataset).is_at(folder):
            return Finding(dataset, "ok", str(folder))
    experiment = f"experiments/{about.experiment}.yaml"
    return Finding(dataset, "note", "not here yet; its sweep brings it", f"python -m tools fetch {experiment}")


def disk(free: float) -> Iterator[Finding]:
    """The disk space that each experiment needs, compared with the `free` GB."""
    for _, about, space in with_experiments():
        what = f"disk, {about.experiment}"
        needed = f"{space.lmdbs} GB of LMDBs, {space.models} GB of models (keep_models: all); {free:.0f} GB free"
        if free >= space.lmdbs + space.models:
            yield Finding(what, "ok", needed)
        else:
            state: State = "missing" if about.experiment == DEMO else "note"
            yield Finding(what, state, needed, "make room here, or keep the checkout on another disk")
