"""The prefix that glog, Caffe's logger, puts before every message, and the time that passes along such lines.

Until glog 0.4 it is `I0228 10:00:00.123456  1234 solver.cpp:218] `, since then `I20240228 10:00:00.123456 ...`.
"""

import re
from datetime import date

# Groups: severity, "0228 10:00:00", microseconds, the message's first word (its start is the message's start).
PREFIX = re.compile(
    r"([IWEF])((?:[12]\d{3})?(?:0[1-9]|1[0-2])(?:0[1-9]|[12]\d|3[01]) (?:[01]\d|2[0-3]):[0-5]\d:[0-5]\d)\.(\d{6})"
    r" +\S+ [^\s\]:]+:\d+\] *(\w*)"
)
_DAYS_BEFORE = (0, 31, 59, 90, 120, 151, 181, 212, 243, 273, 304, 334)


def last_prefix(line: str) -> re.Match[str] | None:
    """The last prefix in a line, None without one.

    What stands before it is the prefix of another program (mpirun, docker), a progress bar without a line's end, or a
    message of Caffe's that was cut off when it was killed and to which the next attempt's log was appended.
    """
    return max(PREFIX.finditer(line), key=re.Match.start, default=None) if "] " in line else None


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
    """Sums the time from line to line; a step back (threads out of order, a clock set back) counts as none.

    It takes two calls, as most lines are of the same second as the one before, and of few the time matters: `turn` for
    the first line of each second, so that no date goes by unseen, and `read` for a line whose time is wanted.
    """

    def __init__(self) -> None:
        self.second = ""  # group 2 of PREFIX in the last line
        self._day = 0
        self._minute = 0  # when this minute began, in microseconds
        self._base = 0  # when this second began
        self._at: int | None = None
        self._elapsed = 0

    def turn(self, second: str) -> None:
        """Goes on to another second, `0228 10:00:00` or with a year."""
        if second[:-3] != self.second[:-3]:
            self._turn_minute(second)
        self.second = second
        self._base = self._minute + int(second[-2:]) * 1_000_000

    def _turn_minute(self, second: str) -> None:
        if self.second and second[:-9] != self.second[:-9]:
            self._day += days_between(self.second[:-9], second[:-9])
        self._minute = ((self._day * 24 + int(second[-8:-6])) * 60 + int(second[-5:-3])) * 60_000_000

    def read(self, micros: str) -> int:
        """Microseconds from the last `start` to this second's `micros` (group 3 of PREFIX)."""
        at = self._base + int(micros)
        if self._at is not None and at > self._at:
            self._elapsed += at - self._at
        self._at = at
        return self._elapsed

    def start(self, micros: str) -> None:
        self.read(micros)
        self._elapsed = 0
