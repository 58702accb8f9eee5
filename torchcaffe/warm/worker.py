"""The worker's side: a process that has just been forked becomes what it would be if the caller had started it."""

import ctypes
import fcntl
import os
import select
import signal
import sys
import time
from contextlib import suppress

from torchcaffe.warm.call import Call

_PR_SET_PDEATHSIG = 1  # linux/prctl.h
_F_SETSIG = 10  # linux/fcntl.h; the module fcntl has it since Python 3.14


def die_with(parent: int) -> None:
    """Asks the kernel to kill this process when process `parent`, its parent, ends. Ends it if that has happened."""
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != parent:
        os._exit(1)


def die_at_end_of(pipe: int) -> None:
    """Asks the kernel to kill this process when the other end of `pipe` is closed. Ends it if that has happened.

    The kernel does so when the caller ends, before the caller's parent learns of it. So whoever has killed the caller
    and waited for its end can rely on the worker's.
    """
    fcntl.fcntl(pipe, fcntl.F_SETOWN, os.getpid())
    fcntl.fcntl(pipe, _F_SETSIG, signal.SIGKILL)
    fcntl.fcntl(pipe, fcntl.F_SETFL, fcntl.fcntl(pipe, fcntl.F_GETFL) | os.O_ASYNC)
    poll = select.poll()
    poll.register(pipe, select.POLLIN)
    if poll.poll(0):
        os._exit(1)


def close_others(files: set[int]) -> None:
    """Closes all files of this process but these."""
    for number in map(int, os.listdir("/proc/self/fd")):
        if number not in files:
            with suppress(OSError):  # that of the listing itself
                os.close(number)


def take_place(call: Call, files: list[int], keep: list[int]) -> list[int]:
    """Gives this process the caller's files, folder, environment, arguments, signal settings and name.

    files: the caller's open files (as many as `call.files`), its folder, and more. keep: further open files. All other
    files are closed. Returns the new numbers of those in `keep`, and of the rest of `files`.
    """
    os.fchdir(files[len(call.files)])
    kept = _place(dict(zip(call.files, files, strict=False)), [*keep, *files[len(call.files) + 1 :]])
    os.environ.clear()
    os.environ.update(call.environment)
    time.tzset()
    sys.argv[:] = call.arguments
    sys.stdout.reconfigure(line_buffering=sys.stdout.isatty())  # type: ignore[union-attr]
    for number in signal.valid_signals() - {signal.SIGKILL, signal.SIGSTOP}:
        wanted = signal.SIG_IGN if number in call.ignored else signal.SIG_DFL
        if signal.getsignal(number) not in (wanted, None):
            signal.signal(number, wanted)
    signal.pthread_sigmask(signal.SIG_SETMASK, call.blocked)
    with open("/proc/self/comm", "w", encoding="utf-8", errors="surrogateescape") as file:
        file.write(call.name)
    return kept


def _place(wanted: dict[int, int], more: list[int]) -> list[int]:
    """Moves files: `wanted` is new number -> present one. Those in `more` get new numbers above, which are returned.
    Everything else is closed."""
    above = max([*wanted, *wanted.values(), *more]) + 1
    high = {new: fcntl.fcntl(old, fcntl.F_DUPFD_CLOEXEC, above) for new, old in wanted.items()}
    kept = [fcntl.fcntl(old, fcntl.F_DUPFD_CLOEXEC, above) for old in more]
    for new, old in high.items():
        os.dup2(old, new)
    close_others({*wanted, *kept})
    return kept
