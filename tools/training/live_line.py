"""One live line while a run trains: iteration, loss, accuracy, images a second, time left."""

import os
import sys
import time

from caffeformat import prototxt
from tools.caffe_log import Event
from tools.nets.templates import SOLVER, Rendered
from tools.protocol.layout import Run

PLAIN_EVERY = 30.0  # seconds between two lines where the output is no terminal, or several runs share it


class Live:
    """Shows what a LogReader's events say: one line rewritten on a terminal, plain lines elsewhere.

    TOOLS_PLAIN=1 asks for plain lines on a terminal, too, as a sweep does whose runs share it.
    """

    def __init__(self, run: Run, rendered: Rendered) -> None:
        self._key = run.key
        self._rendered = rendered
        self._max_iter = prototxt.parse(rendered.solver, prototxt.SolverParameter(), str(run.folder / SOLVER)).max_iter
        self._terminal = sys.stdout.isatty() and os.environ.get("TOOLS_PLAIN") != "1"
        self._shown = time.monotonic()
        self._begun: tuple[int, float] | None = None  # iteration and time of the first event
        self._loss = self._accuracy = ""

    def show(self, event: Event) -> None:
        now = time.monotonic()
        self._begun = self._begun or (event.iteration, now)
        if event.kind == "train":
            self._loss = f"  loss {event.loss:.4f}"
        elif self._rendered.accuracy in event.outputs:
            self._accuracy = f"  accuracy {event.outputs[self._rendered.accuracy]:.4f}"
        if self._terminal:
            print(f"\r{self._line(event.iteration, now)}\x1b[K", end="", flush=True)
            if event.iteration >= self._max_iter and event.kind == "test":
                print()
        elif now - self._shown >= PLAIN_EVERY:
            self._shown = now
            print(self._line(event.iteration, now), flush=True)

    def _line(self, iteration: int, now: float) -> str:
        first, began = self._begun
        speed = left = ""
        if iteration > first:
            rate = (iteration - first) / (now - began)
            seconds = round((self._max_iter - iteration) / rate)
            speed = f"  {rate * self._rendered.train_batch:.0f} images/s"
            left = f"  {seconds // 3600}:{seconds // 60 % 60:02}:{seconds % 60:02} left"
        return f"{self._key}  iteration {iteration}/{self._max_iter}{self._loss}{self._accuracy}{speed}{left}"
