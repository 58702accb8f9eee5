"""Progress of anything that takes more than two seconds: a bar on a terminal, a plain line now and then in a log."""

import contextlib
import sys
import time
from collections.abc import Callable, Iterator
from typing import TextIO

from tqdm import tqdm

_LINE_EVERY = 10.0  # seconds between two lines in a log
_LINE = "{desc}: {n_fmt} of {total_fmt}{unit} ({percentage:.0f} %), {rate_noinv_fmt}, {elapsed} gone, {remaining} left"


@contextlib.contextmanager
def progress(what: str, total: int, unit: str, out: TextIO | None = None) -> Iterator[Callable[[int], None]]:
    """Yields a function to call with the number of `unit` done since the last call; `total` of them are the whole.

    On a terminal that is a bar with rate and time left; elsewhere a line every ten seconds, so that what is done sooner
    leaves no trace. `out` is stderr unless given.
    """
    out = out or sys.stderr
    if not out.isatty():
        yield _Lines(what, total, unit, out).update
        return
    with _Bar(desc=what, total=total, unit=f" {unit}", file=out, dynamic_ncols=True) as bar:
        yield bar.update


class _Bar(tqdm):
    monitor_interval = 0  # no thread beside the bar: processes are forked while it stands


class _Lines:
    def __init__(self, what: str, total: int, unit: str, out: TextIO) -> None:
        self._what, self._total, self._unit, self._out = what, total, f" {unit}", out
        self._done = 0
        self._start = self._last = time.monotonic()

    def update(self, count: int = 1) -> None:
        self._done += count
        now = time.monotonic()
        if now - self._last < _LINE_EVERY:
            return
        self._last = now
        line = tqdm.format_meter(
            self._done, self._total, now - self._start, prefix=self._what, unit=self._unit, bar_format=_LINE
        )
        print(line, file=self._out, flush=True)
