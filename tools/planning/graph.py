"""Carries out a plan: hands what is to do to Snakemake (Snakefile), and says how that ended.

Snakemake works in a folder of this sweep alone, results/<experiment>/.graph.<process id>.part. There are its marks, its
own files and its messages; the folder goes when the sweep ends, or when the next one begins if this one was killed.
"""

import contextlib
import json
import os
import shlex
import subprocess
import sys
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from tools.common.checkout import CHECKOUT
from tools.common.files import in_use, temporary_folder
from tools.common.parent_death import with_this_process
from tools.planning.job import GRAPH, MESSAGES, NOTE, PYTHON, describe
from tools.planning.stages import OPTIONS, RESULTS
from tools.planning.state import Plan
from tools.protocol.conditions import Condition
from tools.protocol.experiment import Experiment
from tools.protocol.layout import Run, results_folder
from tools.training import kernels
from tools.training.engine import Engine
from tools.training.gpus import selected_gpus
from tools.training.machine import THREADS

SHOWN = 20  # lines of Snakemake's messages


@dataclass(frozen=True)
class Outcome:
    """How the graph ended.

    status: Snakemake's exit status. failed: what failed (`split`, a run's key) -> how it ended (`exit 2`). messages:
    Snakemake's last messages where it failed and nothing else is known to have.
    """

    status: int
    failed: dict[str, str]
    messages: str


def carry_out(exp: Experiment, engine: Engine, plan: Plan, jobs: int) -> Outcome:
    """Does what the plan says is to do, `jobs` trainings at a time. The processes end when this one does."""
    with temporary_folder(_place(exp, engine)) as folder:
        text = json.dumps(graph_of(exp, plan), indent=1)
        (folder / GRAPH).write_text(text + "\n", encoding="ascii")
        command, environment = _command(folder.absolute(), jobs), environment_of(engine, jobs)
        with _warm_process(folder, environment):
            status = subprocess.run(command, env=environment, preexec_fn=with_this_process()).returncode
        failed = dict(_failed(folder))
        return Outcome(status, failed, _messages(folder, status) if status and not failed else "")


def other_sweeps(exp: Experiment, engine: Engine) -> bool:
    """Whether graphs of this experiment are being carried out now."""
    return bool(in_use(_place(exp, engine)))


def _place(exp: Experiment, engine: Engine) -> Path:
    return results_folder(exp, engine.name) / "graph"


def graph_of(exp: Experiment, plan: Plan) -> dict[str, object]:
    """What the Snakefile and the jobs get: the verbs and runs to do, the root, and the arguments of every verb."""
    runs = dict.fromkeys(plan.runs_to_do)
    waits_for = {run.key: source.key if (source := plan.copies.get(run)) in runs and source else None for run in runs}
    arguments = [f"--set={exp.overrides}", "--", str(exp.file)]  # the name of the file may begin with -
    to_do = {"stages": plan.to_do, "runs": waits_for, "priorities": _priorities(runs, waits_for)}
    return {"root": os.getcwd(), "options": OPTIONS, "arguments": arguments, "tables": list(RESULTS), **to_do}


def _priorities(runs: Iterable[Run], waits_for: dict[str, str | None]) -> dict[str, int]:
    """Of runs that are to begin before others: those that others wait for, then those that take longer, so that at the
    end no core waits for one of them."""
    sources = set(waits_for.values())
    priorities = {run.key: 9 if run.key in sources else Condition.of_run(run.condition).trainings - 1 for run in runs}
    return {key: priority for key, priority in priorities.items() if priority}


def _command(folder: Path, jobs: int) -> list[str]:
    command = [sys.executable, "-m", "snakemake", "--directory", str(folder), "--configfile", str(folder / GRAPH)]
    command += ["--snakefile", str(CHECKOUT / "Snakefile"), "--cores", str(jobs), "--nolock", "--keep-going"]
    # The scheduler `ilp` starts a solver, which would outlive a kill -9. Metadata about marks are of no use.
    command += ["--scheduler", "greedy", "--rerun-triggers", "mtime", "--ignore-incomplete", "--drop-metadata"]
    # All but `source-cache`: that one is in HOME, which need not be writable.
    usage = ["persistence", "input-output", "software-deployment", "sources", "storage-local-copies"]
    command += ["--shared-fs-usage", *usage, "--quiet", "progress", "rules", "host", "reason"]
    return [*command, *shlex.split(os.environ.get("SNAKEMAKE_FLAGS", ""))]


def environment_of(engine: Engine, jobs: int) -> dict[str, str]:
    """The environment of the verbs, and so of the engine, where `jobs` trainings run at a time."""
    environment = defaults(engine, jobs) | os.environ
    environment |= {"GPUS": ",".join(selected_gpus(engine)), "PYTHONUNBUFFERED": "1"}
    paths = [str(CHECKOUT), *filter(None, [os.environ.get("PYTHONPATH")])]
    environment |= {PYTHON: sys.executable, "PYTHONPATH": os.pathsep.join(paths)}
    return environment | ({"TOOLS_PLAIN": "1"} if jobs > 1 else {})


def defaults(engine: Engine, jobs: int) -> dict[str, str]:
    """What the engine's environment has where the user sets nothing else and `jobs` trainings run at a time."""
    threads = str(max(1, len(os.sched_getaffinity(0)) // jobs))
    return {
        **dict.fromkeys(THREADS, threads),
        **kernels.setting(engine),
        "TORCHCAFFE_WARM": str(os.getpid()),  # docs/torchcaffe.md, "A warm start"
    }


@contextlib.contextmanager
def _warm_process(folder: Path, environment: dict[str, str]) -> Iterator[None]:
    """A warm process (warm.py) for the jobs of the graph in `folder`. If it ends early they start cold."""
    command = [sys.executable, "-P", "-m", "tools.planning.warm", str(os.getpid())]
    process = subprocess.Popen(
        command, cwd=folder, env=environment, stdin=subprocess.DEVNULL, preexec_fn=with_this_process()
    )
    try:
        yield
    finally:
        process.kill()
        process.wait()


def _failed(folder: Path) -> Iterator[tuple[str, str]]:
    """What the jobs noted: (verb or the run's key, how it ended)."""
    for note in sorted(folder.rglob(f"*{NOTE}")):
        mark = str(note.relative_to(folder)).removesuffix(NOTE)
        yield mark.removeprefix("run/"), note.read_text(encoding="utf-8")


def _messages(folder: Path, status: int) -> str:
    """How Snakemake ended, and its last messages, indented."""
    file = folder / MESSAGES
    lines = file.read_text(encoding="utf-8", errors="replace").splitlines() if file.is_file() else []
    return "\n".join([f"Snakemake: {describe(status)}", *(f"    {line}" for line in lines[-SHOWN:])])
