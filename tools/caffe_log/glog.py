"""The prefix that glog, Caffe's logger, puts before every message, and the time that passes along such lines.

Until glog 0.4 it is `I0228 10:00:00.123456  1234 solver.cpp:218] `, since then `I20240228 10:00:00.123456 ...`.
"""

import re
from datetime import date

# Groups: severity, "0228 10:00:00", microseconds, the message's first word (its start is the message's start).
PREFIX = re.compile(
    r"([IWEF])((?:[12]\d{3})?(?:0[1-9]|1[0-2])(?:0[1-9]|[12]\d|3[01]) (?:[01]\d|2[0-3]):[0-5]\d:[0-5]\d)\.(\d{6})"
    r" +\S+ [^\s\]]+:\d+\] *(\w*)"
)
_DAYS_BEFORE = (0, 31, 59, 90, 120, 151, 181, 212, 243, 273, 304, 334)


def last_prefix(line: str) -> re.Match[str] | None:
    """The last prefix in a line, None without one.

    What stands before it is the prefix of another program (mpirun, docker), a progress bar without a line's end, or a
    message of Caffe's that was cut off when it was killed and to which the next attempt's log was appended.
    """
    match = PREFIX.match(line)
    if match is None:
        if "] " not in line:
            return None
    elif line.find("] ", match.end()) < 0:
        return match
    return max(PREFIX.finditer(line), key=re.Match.start, default=None)


def days_between(before: str, after: str) -> int:
    """Days from one line's date to the next line's, each `0228` or `20240228`.

    With years it is exact. Without, no year is guessed: the nearer way round the new year is taken, and between
    February and March a 29 February lies only if one of the two dates is it. So the result is right in every year as
    long as no whole day passes without a line.
    """
    if len(before) == len(after) == 8:
        first, second = (date(int(d[:4]), int(d[4:6]), 1).toordinal() + int(d[6:]) for d in (before, after))
        return second - first
    leap = "0229" in (before[-4:], after[-4:])
    days = _day_of_year(after, leap) - _day_of_year(before, leap)
    if abs(days) > 183:
        days += -365 if days > 0 else 365
    return days


def _day_of_year(day: str, leap: bool) -> int:
    month = int(day[-4:-2])
    return _DAYS_BEFORE[month - 1] + int(day[-2:]) + (leap and month > 2)


class Clock:
    """Sums the time from line to line; a step back (threads out of order, a clock set back) counts as none."""

    def __init__(self) -> None:
        self.elapsed = 0  # microseconds, since the last `self.elapsed = 0`
        self._second = ""
        self._day = 0
        self._base = 0
        self._at: int | None = None

    def tick(self, second: str, micros: str) -> None:
        """Goes on to the time of a line: groups 2 and 3 of PREFIX."""
        if second != self._second:
            self._turn(second)
        at = self._base + int(micros)
        if self._at is not None and at > self._at:
            self.elapsed += at - self._at
        self._at = at

    def _turn(self, second: str) -> None:
        if self._second and second[:-9] != self._second[:-9]:
            self._day += days_between(self._second[:-9], second[:-9])
        self._second = second
        of_day = int(second[-8:-6]) * 3600 + int(second[-5:-3]) * 60 + int(second[-2:])
        self._base = (self._day * 86400 + of_day) * 1_000_000
