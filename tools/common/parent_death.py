"""Child processes that must not outlive their parent."""

import ctypes
import signal

_PR_SET_PDEATHSIG = 1  # linux/prctl.h


DIES_WITH_SWEEP = "TOOLS_DIES_WITH_SWEEP"  # set in the environment of every process that a sweep starts


def die_with_parent() -> None:
    """Asks the kernel to kill this process when its parent ends, also by `kill -9` (prctl PR_SET_PDEATHSIG)."""
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
