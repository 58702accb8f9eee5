"""The status line while a run trains: iteration, loss, accuracy, images per second, time left."""

import contextlib
import os
import sys
import time

from caffeformat import prototxt
from tools.caffe_log import LogRow
from tools.nets.templates import SOLVER, Rendered
from tools.protocol.layout import Run

PLAIN_INTERVAL = 30.0  # seconds between two plain lines


class LiveLine:
    """Shows the rows that a LogReader returns: one line, rewritten, on a terminal; plain lines elsewhere.

    TOOLS_PLAIN=1 selects plain lines on a terminal too. A sweep sets it, because its runs share the terminal.
    """

    def __init__(self, run: Run, rendered: Rendered) -> None:
        self._key = run.key
        self._rendered = rendered
        self._max_iter = prototxt.parse(rendered.solver, prototxt.SolverParameter(), str(run.folder / SOLVER)).max_iter
        self._terminal = bool(sys.stdout and sys.stdout.isatty()) and os.environ.get("TOOLS_PLAIN") != "1"
        self._shown = time.monotonic()
        self._first: tuple[int, float] | None = None  # iteration and time of the first row
        self._loss = self._accuracy = ""

    def show(self, row: LogRow) -> None:
        """Shows the row. Where nobody reads the output any more, the training goes on all the same."""
        with contextlib.suppress(OSError):
            self._show(row)

    def _show(self, row: LogRow) -> None:
        now = time.monotonic()
        self._first = self._first or (row.iteration, now)
        if row.kind == "train":
            self._loss = f"  loss {row.loss:.4f}"
        elif self._rendered.accuracy in row.outputs:
            self._accuracy = f"  accuracy {row.outputs[self._rendered.accuracy]:.4f}"
        if self._terminal:
            print(f"\r{self._line(row.iteration, now, *self._first)}\x1b[K", end="", flush=True)
            if row.iteration >= self._max_iter and row.kind == "test":
                print()
        elif now - self._shown >= PLAIN_INTERVAL:
            self._shown = now
            print(self._line(row.iteration, now, *self._first), flush=True)

    def _line(self, iteration: int, now: float, first_iteration: int, start: float) -> str:
        speed = left = ""
        if iteration > first_iteration and now > start:
            rate = (iteration - first_iteration) / (now - start)
            seconds = round((self._max_iter - iteration) / rate)
            speed = f"  {rate * self._rendered.train_batch:.0f} images/s"
            left = f"  {seconds // 3600}:{seconds // 60 % 60:02}:{seconds % 60:02} left"
        return f"{self._key}  iteration {iteration}/{self._max_iter}{self._loss}{self._accuracy}{speed}{left}"
