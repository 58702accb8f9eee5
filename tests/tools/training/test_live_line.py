"""The status line of a training: one line rewritten on a terminal, plain lines now and then elsewhere."""

import contextlib
import itertools
import os
import pty
import subprocess
import sys
from pathlib import Path

import pytest

from tests.helpers.shell_scripts import environment
from tools.caffe_log import LogRow
from tools.nets.templates import Rendered
from tools.protocol.layout import Run
from tools.training import live_line
from tools.training.live_line import LiveLine

RUN = Run("demo", "A2B", 60, "S3T", 0)
RENDERED = Rendered(net="", solver="max_iter: 300", plan=[], train_batch=50, seed=0, accuracy="top1", loss="loss")


def train_row(iteration: int, loss: float) -> LogRow:
    return LogRow("train", iteration, 0, 0, loss, 0)


def validation_row(iteration: int, accuracy: float) -> LogRow:
    row = LogRow("test", iteration, 0, 0, None, 0)
    row.add(0, "top1", accuracy)
    return row


def every_ten_seconds(monkeypatch: pytest.MonkeyPatch) -> None:
    """The clock goes on by ten seconds whenever it is read."""
    clock = itertools.count(1000.0, 10.0)
    monkeypatch.setattr(live_line.time, "monotonic", lambda: next(clock))


def test_without_a_reader_or_an_output_the_training_goes_on(monkeypatch: pytest.MonkeyPatch) -> None:
    every_ten_seconds(monkeypatch)
    reader, writer = os.pipe()
    os.close(reader)
    for out in (None, os.fdopen(writer, "w", buffering=1)):
        monkeypatch.setattr(sys, "stdout", out)
        line = LiveLine(RUN, RENDERED)
        for iteration in range(0, 100, 10):
            line.show(train_row(iteration, 1.5))


def test_in_a_log_there_is_a_line_every_thirty_seconds(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture
) -> None:
    every_ten_seconds(monkeypatch)
    line = LiveLine(RUN, RENDERED)
    for row in (
        validation_row(0, 0.2),
        train_row(0, 1.6),
        train_row(20, 1.25),
        train_row(40, 0.75),
        validation_row(100, 0.6543),
        train_row(100, 0.5),
    ):
        line.show(row)
    assert capsys.readouterr().out.splitlines() == [
        "A2B/n0060/S3T/seed0  iteration 20/300  loss 1.2500  accuracy 0.2000  50 images/s  0:04:40 left",
        "A2B/n0060/S3T/seed0  iteration 100/300  loss 0.5000  accuracy 0.6543  100 images/s  0:01:40 left",
    ]


def test_before_a_second_iteration_no_speed_is_known(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture
) -> None:
    every_ten_seconds(monkeypatch)
    line = LiveLine(RUN, RENDERED)
    for _ in range(3):
        line.show(train_row(0, 1.6))
    assert capsys.readouterr().out == "A2B/n0060/S3T/seed0  iteration 0/300  loss 1.6000\n"


SHOWN = """
from tests.tools.training.test_live_line import RENDERED, RUN, train_row, validation_row
from tools.training.live_line import LiveLine
line = LiveLine(RUN, RENDERED)
for row in (train_row(0, 1.6), train_row(300, 0.5), validation_row(300, 0.75)): line.show(row)
"""


@pytest.mark.parametrize(("plain", "lines"), [("", 3), ("1", 0)])
def test_on_a_terminal_one_line_is_rewritten_unless_plain_lines_are_asked_for(
    checkout: Path, plain: str, lines: int
) -> None:
    master, slave = pty.openpty()
    settings = environment(TOOLS_PLAIN=plain, PYTHONPATH=checkout)
    subprocess.run([sys.executable, "-c", SHOWN], cwd=checkout, stdout=slave, env=settings, check=True)
    os.close(slave)
    shown = b""
    with os.fdopen(master, "rb", buffering=0) as terminal, contextlib.suppress(OSError):  # EIO: the other end is closed
        while more := terminal.read(4096):
            shown += more
    text = shown.decode()
    assert text.count("\r\x1b[K") == 0 and text.count("\x1b[K") == lines
    if lines:
        assert text.rstrip().rsplit("\r", 1)[1].startswith("A2B/n0060/S3T/seed0  iteration 300/300  loss 0.5000  acc")
        assert text.endswith("left\x1b[K\r\n")
