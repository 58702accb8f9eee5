"""The prefix that glog, Caffe's logger, puts before every message, and the time that passes between such lines.

Up to glog 0.4: `I0228 10:00:00.123456  1234 solver.cpp:218] `; later: `I20240228 10:00:00.123456 ...`. The file may be
a path, also one of Windows. NVIDIA Caffe 0.17 puts the rank and the GPU before many messages: `[0.0] Iteration 100`.
"""

import re
from collections.abc import Sequence
from datetime import date
from itertools import groupby, repeat
from operator import add, le

# Groups: severity, "0228 10:00:00", microseconds, the first word of the message (the message starts where it does).
PREFIX = re.compile(
    r"([IWEF])((?:[12]\d{3})?(?:0[1-9]|1[0-2])(?:0[1-9]|[12]\d|3[01]) (?:[01]\d|2[0-3]):[0-5]\d:[0-5]\d)\.(\d{6})"
    r"[ \xa0]+\S+[ \xa0](?:[^\s\]:]+|[A-Za-z]:[^\]:]+):\d+\][ \t\xa0]*(?:\[[\d. -]+\] +)?(\w*)"
)

_ESCAPE = r"(?:\x1b|\^\[|\\e|\\033)"
_COLOUR = re.compile(rf"{_ESCAPE}\[[\d;?]*[A-Za-z]|\[\d{{1,3}}(?:;\d{{1,3}})*m|\x1b[()][A-Z\d]")
_ESCAPED = re.compile(r"\\([*_#()\[\]<>`|~-])")
_GLOG = r"(?:\d{4}-\d\d-\d\dT\S+ )?[IWEF]\d{4,8} \d\d:"  # also with the time that kubectl puts before it
_TAG = re.compile(
    r"\s*(?:[A-Z][a-z]{2} [ \d]\d \d\d:\d\d:\d\d |\d{4}-\d\d-\d\dT\S+ )?"  # the date of journalctl
    r"(\[[\d, ]+\](?:<\w+>)?|[\w.@-]+ *\|"  # MPI, docker compose
    rf"|\[[A-Za-z][^\s\]]*\](?:<\w+>)?(?=:? *{_GLOG})"  # kubectl --prefix, Open MPI 5
    rf"|(?:[\w.-]+|\S+ \S+\[\d+\]):(?= {_GLOG})"  # srun -l, pdsh; journalctl
    rf"|[a-z0-9]+(?:[-.][a-z0-9]+)+ [a-z0-9.-]+(?= {_GLOG}))"  # stern
)
_NUMBER_AT_END = re.compile(r"(?<== )\S+$")


def plain_text(line: str) -> str:
    """The line without colour codes, also those that a paste left without their escape character, and without the
    backslashes that issue trackers put before `*`, `_` and brackets."""
    return _ESCAPED.sub(r"\1", _COLOUR.sub("", line))


def process_of(line: str, prefix: re.Match[str]) -> tuple[str, str]:
    """What tells the processes of a log apart: the tag before the prefix (`[1] ` of MPI, `caffe_1 | ` of containers,
    `1: ` of srun; empty if there is none), and glog's thread id, which is the process id for the solver's thread."""
    tag = _TAG.match(line) if prefix.start() else None
    return tag[1] if tag and tag.end() <= prefix.start() else "", line[prefix.end(3) : prefix.end()].split(None, 1)[0]


def last_prefix(line: str) -> re.Match[str] | None:
    """The last prefix in a line; None if there is none.

    The text before it may be the prefix of another program (mpirun, docker), a progress bar without a line end, or a
    message that was cut off when Caffe was killed, with the log of the next attempt appended.
    """
    last = PREFIX.search(line) if "]" in line else None
    while last and (later := PREFIX.search(line, last.start(4))):  # the first word may hold the next prefix
        last = later
    return last


def glued_before(line: str, prefix: re.Match[str]) -> str:
    """What the same process wrote before the last prefix of a line, because a line end is lost; empty if it is none.

    A number at its end may be cut and is left out."""
    before = last_prefix(line[: prefix.start()])
    if before is None or process_of(line, before) != process_of(line, prefix):
        return ""
    return _NUMBER_AT_END.sub("", before.string.rstrip())


def days_between(before: str, after: str) -> int:
    """Days from the date of one line to that of the next, each `0228` or `20240228`.

    With years the result is exact. Without years it is the smaller of the two possible distances around the new year,
    and February has 29 days only if one of the dates is 29 February. That is right in every year as long as there is a
    line on every day.
    """
    if len(before) == len(after) == 8:
        return _ordinal(after, int(after[:4])) - _ordinal(before, int(before[:4]))
    year = 2000 if "0229" in (before[-4:], after[-4:]) else 2001
    days = _ordinal(after, year) - _ordinal(before, year)
    if abs(days) > 183:
        days += -365 if days > 0 else 365
    return days


def _ordinal(day: str, year: int) -> int:
    """The number of a day. It also takes `0231`, which a garbled line may have."""
    return date(year, int(day[-4:-2]), 1).toordinal() + int(day[-2:])


class Clock:
    """Sums the time between lines. A step back (threads out of order, a clock set back) counts as zero.

    Call `set_second` for the first line of each second, so that no date is missed, and `read` for a line whose time is
    needed. Most lines are of the same second as the line before and need neither, which keeps the reader fast.
    """

    def __init__(self) -> None:
        self.second = ""  # group 2 of PREFIX in the last line
        self._day = 0
        self._minute = 0  # start of the current minute, in microseconds
        self._base = 0  # start of the current second, in microseconds
        self.last_read: int | None = None  # the time of the last `read`, in microseconds since the first day's midnight
        self._elapsed = 0

    def set_second(self, second: str) -> None:
        """Moves on to another second: `0228 10:00:00`, or with a year."""
        if second[:-3] != self.second[:-3]:
            self._set_minute(second)
        self.second = second
        self._base = self._minute + int(second[-2:]) * 1_000_000

    def _set_minute(self, second: str) -> None:
        if self.second and second[:-9] != self.second[:-9]:
            self._day += days_between(self.second[:-9], second[:-9])
        self._minute = ((self._day * 24 + int(second[-8:-6])) * 60 + int(second[-5:-3])) * 60_000_000

    @property
    def now(self) -> int:
        """Start of the current second, in microseconds since the first day's midnight."""
        return self._base

    @property
    def elapsed(self) -> int:
        """Microseconds from the last `restart` to the last `read`."""
        return self._elapsed

    def read(self, micros: str) -> int:
        """Microseconds from the last `restart` to `micros` (group 3 of PREFIX) in the current second."""
        now = self._base + int(micros)
        if self.last_read is not None and now > self.last_read:
            self._elapsed += now - self.last_read
        self.last_read = now
        return self._elapsed

    def read_pairs(self, minutes: Sequence[str], seconds: Sequence[int], *micros: Sequence[int]) -> list[int]:
        """Goes on to each second and reads two times in it. Returns what the first `read` would.

        `minutes` are like `0228 10:00`. Of each: the second of the minute, and the microseconds of both times.
        The result of the last second one is `elapsed`.
        """
        starts = list[int]()
        for minute, same in groupby(minutes):
            if minute != self.second[:-3]:
                self._set_minute(f"{minute}:00")
                self.second = f"{minute}:00"
            starts += repeat(self._minute, len(list(same)))
        bases = list(map(add, starts, map((1_000_000).__mul__, seconds)))
        firsts, thens = (list(map(add, bases, column)) for column in micros)
        last = firsts[0] if self.last_read is None else self.last_read
        if last <= firsts[0] and all(map(le, firsts, thens)) and all(map(le, thens, firsts[1:])):
            lapses = list(map((self._elapsed - last).__add__, firsts))
            self._elapsed += thens[-1] - last
        else:
            lapses = self._read_in_turn(firsts, thens, last)
        self.last_read = thens[-1]
        self.second, self._base = f"{minutes[-1]}:{seconds[-1]:02}", bases[-1]
        return lapses

    def _read_in_turn(self, firsts: list[int], thens: list[int], last: int) -> list[int]:
        """The lapses of `firsts`, where a time is before the one before it; `last` is the one before the first."""
        lapses = list[int]()
        for first, then in zip(firsts, thens, strict=True):
            self._elapsed += max(0, first - last)
            lapses.append(self._elapsed)
            self._elapsed += max(0, then - first)
            last = then
        return lapses

    def restart(self, micros: str) -> None:
        self.read(micros)
        self._elapsed = 0
