"""Calls of warm_program.py, whose warm parent ends with the test."""

import json
import os
import signal
import socket
import struct
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from torchcaffe.warm.owner import VARIABLE, Owner, parent_and_start

CHECKOUT = Path(__file__).resolve().parents[2]
PROGRAM = [sys.executable, "-P", "-m", "tests.helpers.warm_program"]
ENVIRONMENT = os.environ | {"PYTHONPATH": str(CHECKOUT), VARIABLE: str(os.getpid())}


def this_owner() -> Owner:
    """The test's own process as an owner."""
    return Owner(os.getpid(), parent_and_start(os.getpid())[1])


def warm_parent(owner: Owner) -> int | None:
    """The process id of the owner's warm parent, if it listens."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as connection:
        try:
            connection.connect(owner.address)
        except OSError:
            return None
        return int(struct.unpack("3i", connection.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, 12))[0])


@contextmanager
def no_parent_left() -> Iterator[None]:
    """Ends the warm parent of the test's own process, before and after."""
    end_parent()
    try:
        yield
    finally:
        end_parent()


def end_parent() -> None:
    parent = warm_parent(this_owner())
    if parent:
        os.kill(parent, signal.SIGKILL)
        wait_for(lambda: not is_alive(parent))


def started(*arguments: object, input_file: Path | None = None, **more: Any) -> "subprocess.Popen[str]":
    """A call of the program; `input_file` is its standard input."""
    if input_file:
        with open(input_file) as file:
            return started(*arguments, stdin=file, **more)
    options = {"env": ENVIRONMENT, "stdin": subprocess.DEVNULL, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    options |= {"preexec_fn": _heed_hangup}
    return subprocess.Popen([*PROGRAM, *map(str, arguments)], text=True, **(options | more))


def _heed_hangup() -> None:
    """`nohup make test` leaves SIGHUP ignored, and a call keeps what its caller ignores."""
    signal.signal(signal.SIGHUP, signal.SIG_DFL)


def report(code: int = 0, **more: Any) -> dict[str, Any]:
    """What the process of a call is. It must end with `code`."""
    process = started("report", code, **more)
    out, error = process.communicate(timeout=60)
    assert (process.returncode, error) == (code, "")
    return dict(json.loads(out))


def is_warm(state: dict[str, Any]) -> bool:
    return bool(state["parent"] == warm_parent(this_owner()))


def make_warm() -> int:
    """Makes a call that leaves a warm parent behind. Returns its process id once it listens."""
    report()
    wait_for(lambda: warm_parent(this_owner()))
    parent = warm_parent(this_owner())
    assert parent
    return parent


def ready(process: "subprocess.Popen[str]") -> int:
    """The process id of the worker of a call of `heed` or `count`, once it works."""
    assert process.stdout
    word, number = process.stdout.readline().split()
    assert word == "ready"
    return int(number)


def is_alive(process: int) -> bool:
    """Whether it runs: a zombie does not."""
    try:
        return Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[0] not in "ZX"
    except OSError:
        return False


def wait_for(condition: Callable[[], object], seconds: float = 60) -> None:
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, f"nothing in {seconds} s"
        time.sleep(0.005)
