"""Progress of long work: a bar on a terminal, a plain line every ten seconds in a log."""

import contextlib
import sys
import time
from collections.abc import Callable, Iterator
from typing import TextIO

_LINE_INTERVAL = 10.0  # seconds between two lines in a log
_LINE = (
    "{desc}: {n_fmt} of {total_fmt}{unit} ({percentage:.0f} %), {rate_noinv_fmt}, {elapsed} elapsed, {remaining} left"
)


@contextlib.contextmanager
def progress(label: str, total: int, unit: str, out: TextIO | None = None) -> Iterator[Callable[[int], object]]:
    """Yields a function to call with the number of `unit`s that were done since the last call, out of `total`.

    On a terminal it draws a bar with the rate and the time left. Elsewhere it prints a line every ten seconds, so work
    that takes less prints nothing. `out` is stderr by default.
    """
    out = out or sys.stderr
    if not out.isatty():
        yield _PlainLines(label, total, unit, out).update
        return
    from tqdm import tqdm  # it takes longer to load than most verbs that show nothing to run

    class Bar(tqdm):
        monitor_interval = 0  # no monitor thread: worker processes are forked while the bar is shown

    with Bar(desc=label, total=total, unit=f" {unit}", file=out, dynamic_ncols=True) as bar:
        yield bar.update


class _PlainLines:
    def __init__(self, label: str, total: int, unit: str, out: TextIO) -> None:
        self._label, self._total, self._unit, self._out = label, total, f" {unit}", out
        self._count = 0
        self._start = self._last = time.monotonic()

    def update(self, count: int) -> None:
        self._count += count
        now = time.monotonic()
        if now - self._last < _LINE_INTERVAL:
            return
        self._last = now
        from tqdm import tqdm

        line = tqdm.format_meter(
            self._count, self._total, now - self._start, prefix=self._label, unit=self._unit, bar_format=_LINE
        )
        print(line, file=self._out, flush=True)
