"""Log lines as glog writes them for BVLC Caffe: `I0228 10:00:00.123456  1234 solver.cpp:218] Iteration 20, ...`.

Each line names the place in BVLC Caffe's source (git 99bd997, what Debian ships as 1.0.0) that prints it there, so that
no reader of logs can tell the engines apart. Lines go to standard error; unlike glog, no copy is kept under /tmp.
"""

import re
import sys
import threading
from datetime import datetime

import numpy as np
from google.protobuf import text_format
from google.protobuf.message import Message

from caffeformat import FormatError

_WHOLE_NUMBER = re.compile(r"(: -?\d+)\.0$", re.MULTILINE)


class Fatal(FormatError):
    """What BVLC Caffe ends with a CHECK failure or LOG(FATAL). `place` is the line of its source, `net.cpp:757`."""

    def __init__(self, message: str, place: str = ""):
        super().__init__(message)
        self.place = place


class Logger:
    """Where the lines go. Silent unless `enabled`: the command line enables it, scripts that import may."""

    enabled = False


def info(place: str, message: str) -> None:
    _write("I", place, message)


def warning(place: str, message: str) -> None:
    _write("W", place, message)


def error(place: str, message: str) -> None:
    _write("E", place, message)


def fatal(place: str, message: str) -> None:
    """The line of a failed CHECK, and the one that glog puts before the stack."""
    _write("F", place, f"{message}\n*** Check failure stack trace: ***")


def _write(severity: str, place: str, message: str) -> None:
    if Logger.enabled:
        now = datetime.now().strftime("%m%d %H:%M:%S.%f")
        sys.stderr.write(f"{severity}{now} {threading.get_native_id():5d} {place}] {message}\n")
        sys.stderr.flush()


def check(condition: object, message: str, place: str = "") -> None:
    """Raises Fatal with `message` unless `condition` holds."""
    if not condition:
        raise Fatal(message, place)


def number(value: float) -> str:
    """A float32 as a C++ stream prints it: six significant digits, and the sign of a nan too."""
    value = np.float32(value)
    return "-nan" if np.isnan(value) and np.signbit(value) else f"{value:.6g}"


def debug_string(message: Message) -> str:
    """`message` as C++'s DebugString prints it, but for the last line's end: whole floats without `.0`."""
    return _WHOLE_NUMBER.sub(r"\1", text_format.MessageToString(message)).rstrip("\n")


def shape_string(shape: tuple[int, ...]) -> str:
    """`64 1 24 24 (36864)`: Caffe's Blob::shape_string."""
    count = int(np.prod(shape, dtype=np.int64))
    return "".join(f"{size} " for size in shape) + f"({count})"
