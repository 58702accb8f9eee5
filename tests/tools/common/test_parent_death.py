"""A child that asks for it is killed when its parent ends, even when nothing of the parent runs any more."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tools.common.parent_death import DIES_WITH

PARENT = """
import subprocess, sys, time
from tools.common.parent_death import with_this_process
child = subprocess.Popen(["sleep", "600"], preexec_fn=with_this_process())
print(child.pid, flush=True)
time.sleep(600)
"""
CHILD = """
from tools.common import parent_death
parent_death.obey()
import os
print("alive", os.environ.get(parent_death.DIES_WITH), flush=True)
"""


def test_a_child_dies_with_a_parent_that_is_killed(checkout: Path) -> None:
    parent = subprocess.Popen([sys.executable, "-c", PARENT], cwd=checkout, stdout=subprocess.PIPE, text=True)
    assert parent.stdout is not None
    child = int(parent.stdout.readline())
    assert state_of(child) not in ("Z", "")
    parent.send_signal(signal.SIGKILL)
    parent.wait()
    give_up = time.monotonic() + 30
    while state_of(child) not in ("Z", ""):
        assert time.monotonic() < give_up, f"{child} is still there"
        time.sleep(0.01)


@pytest.mark.parametrize(
    ("parent", "out", "status"),
    [(os.getpid(), "alive None\n", 0), ("", "alive None\n", 0), (os.getppid(), "", 1)],
    ids=["the parent", "nobody", "a process that is not the parent any more"],
)
def test_a_process_ends_at_once_if_its_parent_ended_before_it_could_ask(
    checkout: Path, parent: int | str, out: str, status: int
) -> None:
    environment = os.environ | {DIES_WITH: str(parent)}
    command = [sys.executable, "-c", CHILD]
    child = subprocess.run(command, cwd=checkout, env=environment, capture_output=True, text=True)
    assert (child.stdout, child.returncode) == (out, status), child.stderr


def state_of(pid: int) -> str:
    """The process's state as in /proc: Z is dead and not yet waited for; empty if it is gone."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(") ")[2][0]
    except (FileNotFoundError, ProcessLookupError):
        return ""
