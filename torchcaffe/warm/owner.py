"""The owner of a warm parent: the process that it ends with, and that all its callers come from."""

import os
from typing import NamedTuple

VARIABLE = "TORCHCAFFE_WARM"


class Owner(NamedTuple):
    """A process id, and when that process started (clock ticks since the machine did): no other process has both."""

    process: int
    started: int

    @property
    def address(self) -> str:
        """The address of the owner's warm parent, an abstract Unix socket: it has no file that could be left behind.

        A process with another view of the files, the processes or the users has another address.
        """
        views = "-".join(str(os.stat(f"/proc/self/ns/{name}").st_ino) for name in ("mnt", "pid", "user"))
        return f"\0torchcaffe-{os.getuid()}-{self.process}-{self.started}-{views}"

    def is_alive(self) -> bool:
        try:
            return parent_and_start(self.process)[1] == self.started
        except OSError:
            return False


def find_owner() -> Owner | None:
    """The process that TORCHCAFFE_WARM names; None unless this process descends from it."""
    value = os.environ.get(VARIABLE, "")
    if not (value.isascii() and value.isdecimal()):
        return None
    wanted, process = int(value), os.getppid()
    try:
        while process > 0:
            parent, started = parent_and_start(process)
            if process == wanted:
                return Owner(process, started)
            process = parent
    except OSError:  # a parent that ended meanwhile, or no /proc
        pass
    return None


def parent_and_start(process: int) -> tuple[int, int]:
    """Fields 4 and 22 of /proc/PID/stat. Field 2, the name, is in parentheses and may hold anything."""
    with open(f"/proc/{process}/stat", "rb") as file:
        fields = file.read().rpartition(b")")[2].split()
    return int(fields[1]), int(fields[19])
