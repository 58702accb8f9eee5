"""Progress: a bar on a terminal, plain lines in a log."""

import contextlib
import io
import itertools
import os
import pty
import termios
import time

import pytest

from tools.common import progress as module
from tools.common.progress import progress


def test_on_a_terminal_it_is_one_bar_with_rate_and_time_left() -> None:
    master, slave = pty.openpty()
    termios.tcsetwinsize(slave, (24, 80))
    with os.fdopen(slave, "w") as terminal, progress("decode", 400, "images", terminal) as update:
        for _ in range(4):
            time.sleep(0.12)
            update(90)
    shown = read_all(master)
    assert shown.rstrip().count("\n") == 0
    last = shown.rstrip().split("\r")[-1]
    assert last.startswith("decode:")
    assert " 90%" in last
    assert "360/400" in last
    assert "images/s" in last
    assert "<00:00" in last


def read_all(master: int) -> str:
    """What was written to a terminal whose other end is closed."""
    shown = b""
    with os.fdopen(master, "rb", buffering=0) as file, contextlib.suppress(OSError):  # EIO is a terminal's end of file
        while more := file.read(4096):
            shown += more
    return shown.decode()


def test_in_a_log_what_is_soon_done_leaves_no_trace() -> None:
    log = io.StringIO()
    with progress("decode", 3, "images", log) as update:
        for _ in range(3):
            update(1)
    assert log.getvalue() == ""


def test_in_a_log_it_is_a_plain_line_every_ten_seconds(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = itertools.count(100.0)  # a second passes whenever it is looked at
    monkeypatch.setattr(module.time, "monotonic", lambda: next(clock))
    log = io.StringIO()
    with progress("decode", 1000, "images", log) as update:
        for _ in range(25):
            update(20)
    assert log.getvalue().splitlines() == [
        "decode: 200 of 1000 images (20 %), 20.00 images/s, 00:10 elapsed, 00:40 left",
        "decode: 400 of 1000 images (40 %), 20.00 images/s, 00:20 elapsed, 00:30 left",
    ]
