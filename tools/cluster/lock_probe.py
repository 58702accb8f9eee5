"""Whether locks work in a folder: on Lustre without `-o flock` they fail, and with `-o localflock` hold on one node."""

import fcntl
import os
import subprocess
import sys
from pathlib import Path

from tools.common.errors import UserError
from tools.common.parent_death import with_this_process

_REFUSED, _GRANTED = 7, 8  # exit statuses of the second process
_SECOND = f"""\
import fcntl, sys
try:
    fcntl.flock(open(sys.argv[1]), fcntl.LOCK_EX | fcntl.LOCK_NB)
except BlockingIOError:
    sys.exit({_REFUSED})
sys.exit({_GRANTED})
"""
HELP = (
    "so two jobs could train the same run. Mount it with locks that hold on all nodes (Lustre: mount -o flock; NFS: "
    "version 4, or 3 with lockd and without local_lock), or put the project's folder on a disk that has them"
)


def check_locks(folder: Path) -> None:
    """Raises UserError unless flock refuses a second process in `folder`, which exists."""
    probe = folder / f".locks.{os.uname().nodename}.{os.getpid()}.part"
    try:
        with open(probe, "w") as file:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except OSError as error:
                raise UserError(f"{folder}/: flock fails there ({error.strerror}), {HELP}") from None
            second = [sys.executable, "-c", _SECOND, str(probe)]
            process = subprocess.run(second, capture_output=True, text=True, preexec_fn=with_this_process())
    finally:
        probe.unlink(missing_ok=True)
    if process.returncode == _GRANTED:
        raise UserError(f"{folder}/: flock there gives two processes the same lock, {HELP}")
    if process.returncode != _REFUSED:
        raise UserError(f"{folder}/: flock fails there in a second process; {process.stderr.strip()[-300:]}")
