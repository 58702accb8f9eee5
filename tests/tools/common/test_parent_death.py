"""A child that asks for it is killed when its parent ends, even when nothing of the parent runs any more."""

import signal
import subprocess
import sys
import time
from pathlib import Path

PARENT = """
import subprocess, sys, time
from tools.common.parent_death import die_with_parent
child = subprocess.Popen(["sleep", "600"], preexec_fn=die_with_parent)
print(child.pid, flush=True)
time.sleep(600)
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


def state_of(pid: int) -> str:
    """The process's state as in /proc: Z is dead and not yet waited for; empty if it is gone."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(") ")[2][0]
    except (FileNotFoundError, ProcessLookupError):
        return ""
