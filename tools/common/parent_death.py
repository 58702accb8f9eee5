"""Processes that must not outlive their parent. Imports little: a process calls this before it loads anything large."""

import ctypes
import os
import signal
from collections.abc import Callable

_PR_SET_PDEATHSIG = 1  # linux/prctl.h
_prctl = ctypes.CDLL(None).prctl

DIES_WITH = "TOOLS_DIES_WITH"  # the environment variable that names the parent's process id


def die_with_parent(parent: int | None = None) -> None:
    """Asks the kernel to kill this process when its parent ends, also by `kill -9` (prctl(2), PR_SET_PDEATHSIG).

    parent: the process id that the parent has, or had. The kernel does nothing about a parent that ended before the
    call. So the parent is looked at afterwards, and this process ends here if it has another one by now. Without
    `parent` it is the parent at the time of the call.
    """
    parent = parent or os.getppid()
    _prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != parent:
        os._exit(1)


def with_this_process() -> Callable[[], None]:
    """What a child does before it starts its program (`preexec_fn`), so that it ends when this process does."""
    parent = os.getpid()
    return lambda: die_with_parent(parent)


def obey() -> None:
    """Does as DIES_WITH says, if it is set, and removes it: it is meant for this process, not for those it starts."""
    parent = os.environ.pop(DIES_WITH, "")
    if parent.isdecimal():
        die_with_parent(int(parent))
