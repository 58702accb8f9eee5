"""Where the time of a whole sweep goes, with BVLC Caffe and with torchcaffe: the demo, from its archives to its page.

    python -m benchmarks.sweep                     five sweeps: each engine; more runs, sizes; fewer images
    python -m benchmarks.sweep --cases 2           the first two
    python -m benchmarks.sweep --cases 1 --set "conditions=[base,S3T] sizes=[1] max_iter=100 test_interval=50"

Each sweep has a folder of its own below --work, which is removed at the end; the archives are those that `make fetch`
or an earlier sweep left in data/, or are downloaded first. Nothing is added to a sweep to measure it: the times of its
files, its manifests and logs say what began and ended when.
"""

import argparse
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from benchmarks.record import Measuring, take_better_kernels
from tools.common.checkout import CHECKOUT
from tools.common.errors import UserError
from tools.common.files import load_json
from tools.planning.stages import stages_of
from tools.protocol.experiment import Experiment, load
from tools.protocol.layout import Run, dataset_folder
from tools.protocol.runs import runs_of
from tools.training.engine import find_engine

DEMO = CHECKOUT / "experiments" / "demo.yaml"
ONE_SEED = "seeds=[10]"


@dataclass(frozen=True)
class Case:
    name: str
    caffe: str  # what CAFFE names
    keys: str  # --set


def cases(caffe: str) -> list[Case]:
    return [
        Case("BVLC Caffe", caffe, ONE_SEED),
        Case("torchcaffe", "torchcaffe", ONE_SEED),
        Case("torchcaffe, two seeds", "torchcaffe", "seeds=[10,11]"),
        Case("torchcaffe, three sizes", "torchcaffe", f"{ONE_SEED} sizes=[60,20,1]"),
        Case("torchcaffe, a quarter of the images", "torchcaffe", f"{ONE_SEED} full_size=1500"),
    ]


@dataclass(frozen=True)
class Swept:
    """What one sweep took, in seconds."""

    runs: int
    phases: dict[str, float]  # they add up to `wall`
    wall: float
    cpu: float  # user and system, of all processes of the machine: nothing else should compute
    again: float  # a call with nothing to do
    idle: float  # the part of the cores' time in which no process ran, 0 to 1


def sweep(case: Case, keys: str, archives: Path, work: Path, jobs: int) -> Swept:
    """Runs the demo in the new folder `work`. Raises UserError if it fails."""
    shutil.copytree(archives, work / "data" / archives.name, copy_function=os.link)
    environment = os.environ | {"CAFFE": case.caffe, "GPUS": "", "PYTHONPATH": str(CHECKOUT)}
    environment["PATH"] = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    command = [sys.executable, "-m", "tools", "sweep", str(DEMO), "--set", keys, "--jobs", str(jobs)]

    def call() -> tuple[float, float]:
        """The wall and processor time of one call."""
        before, began = busy(), time.time()
        with open(work / "sweep.log", "ab") as out:
            status = subprocess.run(command, cwd=work, env=environment, stdout=out, stderr=out).returncode
        if status:
            raise UserError(f"{case.name}: the sweep failed:\n{(work / 'sweep.log').read_text()[-3000:]}")
        return time.time() - began, busy() - before

    began = time.time()
    wall, cpu = call()
    here = Path.cwd()
    os.chdir(work)  # where the layout's paths begin
    try:
        exp = load(DEMO, keys)
        runs = runs_of(exp, Path(case.caffe).name)
        phases = phases_of(exp, Path(case.caffe).name, runs, began, began + wall, jobs)
    finally:
        os.chdir(here)
    return Swept(len(runs), phases, wall, cpu, call()[0], 1 - cpu / wall / (os.cpu_count() or 1))


def busy() -> float:
    """Seconds that all cores have worked since the machine started: processes of a warm start are no children."""
    user, nice, system = Path("/proc/stat").read_text().split()[1:4]
    return (int(user) + int(nice) + int(system)) / os.sysconf("SC_CLK_TCK")


def phases_of(exp: Experiment, engine: str, runs: list[Run], began: float, ended: float, jobs: int) -> dict[str, float]:
    """Where the time between `began` and `ended` went, in seconds, by the files that a finished sweep has left.

    Seconds of runs are divided by `jobs`. What is between one run and the next, in the same place, is the rest.
    """
    done = {
        verb: max(stage.marker.stat().st_mtime for stage in stages) for verb, stages in stages_of(exp, engine).items()
    }
    of_runs: dict[str, float] = {}
    for run in runs:
        for name, seconds in _run_phases(run).items():
            of_runs[name] = of_runs.get(name, 0.0) + seconds / jobs
    trained = max(run.manifest.stat().st_mtime for run in runs)
    between = trained - done["mean"] - sum(of_runs.values())
    return {
        "fetch and check the archives": done["fetch"] - began,
        "split": done["split"] - done["fetch"],
        "pack": done["pack"] - done["split"],
        "mean": done["mean"] - done["pack"],
        **{f"runs: {name}": seconds for name, seconds in of_runs.items()},
        "runs: between two (Python and Snakemake start; a core without a run)": between,
        "tables": done["summarize"] - trained,
        "claims": done["claims"] - done["summarize"],
        "figures": done["plot"] - done["claims"],
        "page": done["report"] - done["plot"],
        "the end": ended - done["report"],
    }


def _run_phases(run: Run) -> dict[str, float]:
    """The seconds of one run's parts, from its lock to its manifest."""
    names = (".lock", "attempts.json", "train.json", "test.csv", "predictions.npz", "manifest.json")
    begun, attempt, trained, parsed, predicted, recorded = ((run.folder / name).stat().st_mtime for name in names)
    engine = load_json(run.folder / "train.json")["seconds"]  # from the engine's start to the proofs of its result
    training = load_json(run.manifest)["result"]["seconds"]
    return {
        "checks and prototxts": attempt - begun,
        "proof of the start": trained - attempt - engine,
        "the engine beside its training, proofs of the end": engine - training,
        "training, with its tests": training,
        "log to tables": parsed - trained,
        "predictions": predicted - parsed,
        "manifest": recorded - predicted,
    }


def fetched_archives(work: Path) -> Path:
    """The data set's folder with the archives alone, hard links or copies, in `work`."""
    here = dataset_folder(load(DEMO))
    folder = work / here.name
    folder.mkdir(parents=True)
    found = sorted((CHECKOUT / here).glob("*.gz"))
    if not found:
        subprocess.run(
            [sys.executable, "-m", "tools", "fetch", str(DEMO)], cwd=work, check=True,
            env=os.environ | {"PYTHONPATH": str(CHECKOUT)},
        )  # fmt: skip
        found = sorted((work / here).glob("*.gz"))
    for file in found:
        shutil.copy(file, folder)
    return folder


def tables_of(swept: dict[str, Swept], measuring: Measuring) -> None:
    names, each = list(swept), list(swept.values())

    def row(what: str, value: Callable[[Swept], str]) -> list[str]:
        return [what, *map(value, each)]

    phases = [row(name, lambda one, name=name: f"{one.phases[name]:.1f}") for name in each[0].phases]
    phases.append(row("**in all**", lambda one: f"**{one.wall:.1f}**"))
    measuring.table("Seconds of the clock", ["", *names], phases)
    measuring.table(
        "The same sweeps",
        ["", *names],
        [
            row("runs", lambda one: str(one.runs)),
            row("seconds of the clock a run", lambda one: f"{one.wall / one.runs:.2f}"),
            row("processor seconds a run", lambda one: f"{one.cpu / one.runs:.2f}"),
            row(
                "training, share of the time",
                lambda one: f"{one.phases['runs: training, with its tests'] / one.wall:.0%}",
            ),
            row("cores idle", lambda one: f"{max(0.0, one.idle):.0%}"),
            row("a call with nothing to do, s", lambda one: f"{one.again:.1f}"),
        ],
    )
    if len(each) > 1:
        measuring.note(f"{names[1]} took {each[1].wall / each[0].wall:.2f} times the time of {names[0]}.")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--cases", type=int, default=5, help="the first so many of the five sweeps")
    parser.add_argument("--only", default="", help="sweeps whose name begins so")
    parser.add_argument("--set", default="", help="keys for all sweeps: a short try")
    parser.add_argument("--jobs", type=int, default=len(os.sched_getaffinity(0)))
    parser.add_argument("--work", type=Path, default=None, help="a folder for the sweeps; default: results/")
    parser.add_argument("--record", type=Path, metavar="FOLDER", help="write sweep.json there")
    arguments = parser.parse_args()
    measuring, swept = Measuring("sweep"), dict[str, Swept]()
    parent = arguments.work or CHECKOUT / "results"
    parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="sweep-", dir=parent) as folder:
        archives = fetched_archives(Path(folder))
        caffe = find_engine()
        take_better_kernels(caffe)
        for case in cases(str(caffe.path))[: arguments.cases]:
            if not case.name.startswith(arguments.only):
                continue
            given = {part.split("=")[0] for part in arguments.set.split()}
            keys = " ".join([*(part for part in case.keys.split() if part.split("=")[0] not in given), arguments.set])
            work = Path(folder) / "work"
            work.mkdir()
            swept[case.name] = sweep(case, keys.strip(), archives, work, arguments.jobs)
            shutil.rmtree(work)
            one = swept[case.name]
            print(f"{case.name}: {one.runs} runs in {one.wall:.1f} s, {one.cpu:.1f} s of processor time", flush=True)
            for name, seconds in one.phases.items():
                print(f"  {seconds:8.1f} s  {name}", flush=True)
    tables_of(swept, measuring)
    if arguments.record:
        measuring.write(arguments.record)


if __name__ == "__main__":
    try:
        main()
    except UserError as error:
        sys.exit(f"error: {error}")
