"""Log lines as glog writes them for BVLC Caffe: `I0228 10:00:00.123456  1234 solver.cpp:218] Iteration 20, ...`.

Each line names the place in BVLC Caffe's source (git 99bd997, shipped by Debian as 1.0.0) that prints it, so that
programs that read logs work for both engines. Lines go to standard error, and with --log_dir to files there too. Unlike
glog, no copy is kept under /tmp.
"""

import os
import re
import sys
import threading
import time
from functools import lru_cache
from math import copysign

import numpy as np
from google.protobuf import text_format
from google.protobuf.message import Message

from caffeformat import FormatError
from torchcaffe.common.log_files import LogFiles

_WHOLE_NUMBER = re.compile(r"(: -?\d+)\.0$", re.MULTILINE)


class Fatal(FormatError):
    """An error at which BVLC Caffe ends with a failed CHECK or LOG(FATAL).

    `place` is the line of Caffe's source: `net.cpp:757`. The text is meant for the user.
    """

    def __init__(self, message: str, place: str = ""):
        super().__init__(message)
        self.place = place


class Logger:
    """Lines are written only if `enabled`, and of the severities from `level` on: 0 INFO, 1 WARNING, 2 ERROR, 3 FATAL.
    The command line switches it on, and so does the first net or solver of a script."""

    enabled = False
    level = 0
    files: LogFiles | None = None


def enable_for_script() -> None:
    """Switches the log on, as it is in pycaffe from the start. The environment's GLOG_minloglevel is the level."""
    if not Logger.enabled:
        Logger.enabled, Logger.level = True, level_of_environment()


def level_of_environment() -> int:
    """GLOG_minloglevel as glog reads it: digits, after spaces and a sign; 0 without any."""
    found = re.match(r"\s*[-+]?\d+", os.environ.get("GLOG_minloglevel", ""))  # noqa: SIM112
    return int(found[0]) if found else 0


def info(place: str, message: str) -> None:
    _write("I", place, message)


def warning(place: str, message: str) -> None:
    _write("W", place, message)


def error(place: str, message: str) -> None:
    _write("E", place, message)


def fatal(place: str, message: str) -> None:
    """The line of a failed CHECK, and the line that glog writes after it, before the stack."""
    _write("F", place, f"{message}\n*** Check failure stack trace: ***")


def _write(severity: str, place: str, message: str) -> None:
    if Logger.enabled and "IWEF".index(severity) >= min(Logger.level, 3):
        second, nanoseconds = divmod(time.time_ns(), 10**9)
        now = f"{_stamp(second)}.{nanoseconds // 1000:06d}"
        text = f"{severity}{now} {threading.get_native_id():5d} {place}] {message}\n"
        sys.stderr.write(text)
        sys.stderr.flush()
        if Logger.files is not None:
            Logger.files.write(severity, text)


@lru_cache(maxsize=1)  # a prediction has a line for each image
def _stamp(second: int) -> str:
    """Date and local time of a second since 1970: `0228 10:00:00`."""
    return time.strftime("%m%d %H:%M:%S", time.localtime(second))


def check(condition: object, message: str, place: str = "") -> None:
    """Raises Fatal with `message` unless `condition` holds."""
    if not condition:
        raise Fatal(message, place)


def number(value: float | np.floating) -> str:
    """`value`, rounded to float32, as a C++ stream prints it: six significant digits, and the sign even of a nan."""
    single = float(np.float32(value))
    return "-nan" if single != single and copysign(1, single) < 0 else f"{single:.6g}"


def weighted_loss(value: float | np.floating, weight: float) -> str:
    """The text that Caffe logs after an output with a loss weight: ` (* 1 = 2.3 loss)`; empty without a weight."""
    return f" (* {number(weight)} = {number(np.float32(weight) * np.float32(value))} loss)" if weight else ""


def debug_string(message: Message) -> str:
    """`message` as C++'s DebugString prints it, without the last newline: whole floats have no `.0`."""
    return _WHOLE_NUMBER.sub(r"\1", text_format.MessageToString(message)).rstrip("\n")


def shape_string(shape: tuple[int, ...]) -> str:
    """`64 1 24 24 (36864)`: Caffe's Blob::shape_string."""
    count = int(np.prod(shape, dtype=np.int64))
    return "".join(f"{size} " for size in shape) + f"({count})"
