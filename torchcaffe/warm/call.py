"""A call of the program: all that a process gets from its caller when it is started."""

import os
import signal
import sys
from typing import NamedTuple

# Variables of which PyTorch, its libraries and Python read none when they are loaded. Every other one must be equal.
_FREE = {"_", "PWD", "OLDPWD", "SHLVL", "TZ", "CUDA_VISIBLE_DEVICES"}
_FREE_PREFIXES = ("GLOG_", "TOOLS_")

# Lines of /proc/self/status: what the kernel grants to the process.
_GRANTED = (
    *("Umask", "Uid", "Gid", "Groups", "CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb", "NoNewPrivs", "Seccomp"),
    *("Cpus_allowed_list", "Mems_allowed_list", "THP_enabled"),
)


class Call(NamedTuple):
    """The arguments, sys.argv; the environment; the numbers of open files; the signals that are ignored and blocked;
    the name that `ps` shows; and `start`: everything else that counts when a process starts."""

    arguments: list[str]
    environment: dict[str, str]
    files: list[int]
    ignored: list[int]
    blocked: list[int]
    name: str
    start: dict[str, str]

    def encoded(self) -> bytes:
        """As the text of a tuple, for ast.literal_eval."""
        return ascii(tuple(self)).encode("ascii")


def this_call() -> Call | None:
    """The call of this process; None if it cannot be handed to another one. Raises OSError without /proc."""
    files = _inherited_files()
    if not {0, 1, 2} <= set(files) or len(os.listdir("/proc/self/task")) > 1:
        return None
    return Call(
        arguments=list(sys.argv),
        environment=dict(os.environ),
        files=files,
        ignored=[int(number) for number in signal.valid_signals() if signal.getsignal(number) == signal.SIG_IGN],
        blocked=[int(number) for number in signal.pthread_sigmask(signal.SIG_BLOCK, ())],
        name=_read("comm").rstrip("\n"),
        start=_start(),
    )


def _inherited_files() -> list[int]:
    """The numbers of the open files that came from the caller. Those that Python opens are not inheritable."""
    found = []
    for name in os.listdir("/proc/self/fd"):
        try:
            inheritable = os.get_inheritable(int(name))
        except OSError:  # that of the listing itself
            continue
        if inheritable:
            found.append(int(name))
    return sorted(found)


def _start() -> dict[str, str]:
    environment = {
        name: value for name, value in os.environ.items() if name not in _FREE and not name.startswith(_FREE_PREFIXES)
    }
    status = dict(line.partition(":")[::2] for line in _read("status").splitlines())
    return {
        "program": __file__,
        "python": ascii((sys.executable, sys.version, sys.flags, sys._xoptions, sys.warnoptions, sys.path)),
        "environment": ascii(sorted(environment.items())),
        "granted": ascii([status.get(name) for name in _GRANTED]),
        "priority": ascii((os.getpriority(os.PRIO_PROCESS, 0), os.sched_getscheduler(0))),
        **{name: _read(name) for name in ("limits", "cgroup", "oom_score_adj")},
    }


def _read(name: str) -> str:
    with open(f"/proc/self/{name}", encoding="utf-8", errors="surrogateescape") as file:
        return file.read()
