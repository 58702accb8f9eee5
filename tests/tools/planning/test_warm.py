"""The warm process: a verb in it does as in a process of its own, and ends with its job and with the sweep.

The graph has one verb, `parse`, and the mark of a job names the log that it reads, as that of a run names the run.
"""

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace

import psutil
import pytest

from tools.planning.job import GRAPH, NOTE, WARM, command

CHECKOUT = Path(__file__).parents[3]
DISPLAY = """\
I0102 03:04:05.678901 1 solver.cpp:239] Iteration 0 (0 iter/s, 0s/1 iters), loss = 2.5
I0102 03:04:05.678901 1 solver.cpp:258]     Train net output #0: loss = 2.5 (* 1 = 2.5 loss)
I0102 03:04:05.678901 1 sgd_solver.cpp:112] Iteration 0, lr = 0.01
"""
ENVIRONMENT = os.environ | {"TOOLS_PYTHON": sys.executable, "PYTHONPATH": str(CHECKOUT)}


def until(condition: Callable[[], object], seconds: float = 20) -> None:
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.01)


def warm_process(folder: Path) -> psutil.Popen:
    """As a sweep starts it: by a process that it ends with, here a shell."""
    program = f"{sys.executable} -P -m tools.planning.warm $$ 2>> said; :"
    process = psutil.Popen(["bash", "-c", program], cwd=folder, env=ENVIRONMENT, stdin=subprocess.DEVNULL)
    until((folder / WARM).exists)
    return process


@pytest.fixture
def sweep(tmp_path: Path) -> Iterator[SimpleNamespace]:
    """A sweep's folder, the root where its verbs work, the sweep's own process, and its child, the warm one."""
    folder, root = tmp_path / "sweep", tmp_path / "root"
    (folder / "parse").mkdir(parents=True)
    root.mkdir()
    graph = {"root": str(root), "options": {"parse": ["--out=csv"]}, "arguments": ["--"], "runs": {}}
    (folder / GRAPH).write_text(json.dumps(graph | {"stages": ["parse"], "tables": []}))
    process = warm_process(folder)
    (warm,) = process.children()
    yield SimpleNamespace(folder=folder, root=root, process=process, warm=warm)
    process.kill()
    process.wait()


def job(sweep: SimpleNamespace, log: str) -> "subprocess.Popen[bytes]":
    """Starts the job as Snakemake does, through a shell."""
    with open(sweep.folder / "said", "ab") as said:
        shell = ["bash", "-c", command(os.getpid(), f"parse/{log}")]
        return subprocess.Popen(shell, cwd=sweep.folder, env=ENVIRONMENT, stderr=said)


def said(sweep: SimpleNamespace) -> str:
    """What jobs and verbs have said since the last call."""
    text = (sweep.folder / "said").read_text()
    os.truncate(sweep.folder / "said", 0)
    return text


def endless_job(sweep: SimpleNamespace) -> tuple["subprocess.Popen[bytes]", psutil.Process]:
    """A job that waits for a log, and its verb."""
    os.mkfifo(sweep.root / "fifo.log")
    waiting = job(sweep, "fifo.log")
    until(lambda: [verb for verb in sweep.warm.children() if verb.name() == "tools parse"])
    return waiting, sweep.warm.children()[0]


def has_ended(process: psutil.Process) -> bool:
    return not process.is_running() or process.status() == psutil.STATUS_ZOMBIE


def test_a_verb_works_in_the_root_and_leaves_its_mark(sweep: SimpleNamespace) -> None:
    (sweep.root / "caffe.log").write_text(DISPLAY)
    for _ in range(2):
        assert job(sweep, "caffe.log").wait(60) == 0
    assert said(sweep) == ""
    assert (sweep.folder / "parse" / "caffe.log").exists()
    assert "2.5" in (sweep.root / "csv" / "caffe" / "train.csv").read_text()


def test_a_mistake_is_told_and_noted_as_without_the_warm_process(sweep: SimpleNamespace) -> None:
    assert job(sweep, "none.log").wait(60) == 2
    warm = said(sweep)
    sweep.process.kill()
    until(lambda: has_ended(sweep.warm))
    (sweep.folder / WARM).unlink()
    assert job(sweep, "none.log").wait(60) == 2
    assert warm == said(sweep) and warm.startswith("error: no such log: none.log")
    assert (sweep.folder / "parse" / f"none.log{NOTE}").read_text() == "exit 2"


def test_a_verb_that_is_killed_is_noted(sweep: SimpleNamespace) -> None:
    process, verb = endless_job(sweep)
    verb.kill()
    assert process.wait(60) == 137
    assert said(sweep).startswith("error: parse fifo.log: killed by signal 9 (SIGKILL)")
    assert not has_ended(sweep.warm)


@pytest.mark.parametrize("victim", ["the job", "the warm process", "the sweep"])
def test_the_verb_ends_with(sweep: SimpleNamespace, victim: str) -> None:
    process, verb = endless_job(sweep)
    {"the job": process, "the warm process": sweep.warm, "the sweep": sweep.process}[victim].kill()
    until(lambda: has_ended(verb))
    assert process.wait(60) in (-9, 137)
    assert has_ended(sweep.warm) == (victim != "the job")


def test_jobs_run_side_by_side(sweep: SimpleNamespace) -> None:
    process, verb = endless_job(sweep)
    (sweep.root / "caffe.log").write_text(DISPLAY)
    assert job(sweep, "caffe.log").wait(60) == 0
    assert not has_ended(verb)
    process.kill()
    process.wait()


def test_where_the_warm_process_has_ended_a_verb_starts_by_itself(sweep: SimpleNamespace) -> None:
    (sweep.root / "caffe.log").write_text(DISPLAY)
    sweep.warm.kill()
    until(lambda: has_ended(sweep.warm))
    assert job(sweep, "caffe.log").wait(60) == 0
