"""Puts the lines of a log in order where a reader that goes line by line cannot: processes that take turns, attempts
that were joined in another order than they ran, and lines that a console cut in two.
"""

import re
from collections import Counter
from collections.abc import Iterable, Iterator

from tools.caffe_log.glog import Clock, last_prefix, plain_text, process_of
from tools.caffe_log.messages import is_cut_off, lost_blank

_BEGINS_ROW = re.compile(r"Iteration (\d{1,18})\b.*(?:, (?:\S+ep, )?loss = |, Testing net|, Test score)")
_STARTS = ("Initializing solver from", "Solving ")
_SETS_RATE = re.compile(r"Iteration \d+\b.*, lr = ")


class _Life:
    """The lines of one process from one start of its solver on."""

    def __init__(self, process: tuple[str, str], first_line: int) -> None:
        self.process = process
        self.lines = [first_line]  # their numbers
        self.start: int | None = None  # time of the solver's first line, in microseconds
        self.end = 0  # time of the last line that begins a row
        self.iterations: list[int] = []  # of the lines that begin a row
        self.rates = 0  # lr lines
        self.outputs = 0  # lines with an output of a net

    @property
    def first(self) -> int:
        return self.lines[0]

    def is_beside(self, other: "_Life") -> bool:
        """Whether both wrote at the same time."""
        return self.first <= other.lines[-1] and other.first <= self.lines[-1]

    def is_twin_of(self, other: "_Life") -> bool:
        """Whether both do the same training: ranks of MPI begin at the same iteration."""
        return self.is_beside(other) and self.iterations[0] == other.iterations[0]


def arranged(lines: Iterable[str]) -> tuple[list[str], int]:
    """The lines of a log with each attempt in one piece, in the order of their times; and the number of processes.

    A line that is there twice, with the same time to the microsecond, is kept once: such logs were joined from parts
    that overlap.

    Of processes that do the same training at the same time (ranks of MPI), only the one with the most rows stays, of
    equals the one with the most outputs, and of such the first. Lines without a solver (other threads, other programs)
    stay behind the lines that they follow.
    """
    rows = list(_without_repeats(lines))
    lives = _lives(rows)
    solvers = [life for life in lives if life.iterations]
    if not solvers:
        return rows, 1
    kept: list[_Life] = []
    for life in sorted(solvers, key=lambda life: (-len(life.iterations), -life.outputs, life.first)):
        if not any(life.is_twin_of(other) for other in kept):
            kept.append(life)
    has_rates = any(life.rates for life in kept)
    processes, all_processes = {life.process for life in kept}, {life.process for life in solvers}
    dropped = {id(life) for life in solvers if life not in kept}
    for life in lives:
        is_of_no_use = life.process in all_processes or (life.rates and has_rates)
        if is_of_no_use and not life.iterations and life.process not in processes:
            dropped.add(id(life))
    owner = {number: life for life in lives for number in life.lines}
    blocks: dict[int, list[str]] = {id(life): [] for life in kept}
    current = min(kept, key=lambda life: life.first)
    for number, line in enumerate(rows):
        writer = owner.get(number)
        if writer is not None and id(writer) in blocks:
            current = writer
        if writer is None or id(writer) not in dropped:
            blocks[id(current)].append(line)
    return [line for life in _in_order_of_time(kept) for line in blocks[id(life)]], len(solvers) - len(kept) + 1


def _in_order_of_time(lives: list[_Life]) -> list[_Life]:
    """If lives of one process overlap in time, its lines or its clock are in disorder: then the order of the file.

    The same if the earliest does not begin at the first iteration, but the first in the file does: the clock was set
    back, or the log goes on in another time zone.
    """
    by_line = sorted(lives, key=lambda life: life.first)
    by_time = sorted(by_line, key=lambda life: life.start or 0)
    if by_line[0].iterations[0] < by_time[0].iterations[0]:
        return by_line
    for number, life in enumerate(by_time):
        for later in by_time[number + 1 :]:
            if life.process == later.process and life.first > later.first and life.end > (later.start or 0):
                return by_line
    return by_time


def _without_repeats(lines: Iterable[str]) -> Iterator[str]:
    seen: set[str] = set()
    for line in lines:
        if last_prefix(line) is None or line not in seen:
            yield line
        seen.add(line)


def _lives(rows: list[str]) -> list[_Life]:
    clock, current, lives = Clock(), dict[tuple[str, str], _Life](), list[_Life]()
    for number, line in enumerate(rows):
        prefix = last_prefix(plain_text(line))
        if prefix is None:
            continue
        if prefix[2] != clock.second:
            clock.set_second(prefix[2])
        text = prefix.string
        now, start, process = clock.now + int(prefix[3]), prefix.start(4), process_of(text, prefix)
        life = current.get(process)
        begins = _BEGINS_ROW.match(text, start)
        if life is None or _starts_again(life, text, start, now, begins):
            life = current[process] = _Life(process, number)
            lives.append(life)
        else:
            life.lines.append(number)
        if begins or text.startswith(_STARTS, start):
            life.start = now if life.start is None else min(now, life.start)
        if begins:
            life.iterations.append(int(begins[1]))
            life.end = max(life.end, now)
        elif _SETS_RATE.match(text, start):
            life.rates += 1
        elif " net output #" in text[start:]:
            life.outputs += 1
    return lives


def _starts_again(life: _Life, text: str, start: int, now: int, begins: re.Match[str] | None) -> bool:
    if not life.iterations or life.start is None:
        return False
    goes_back = begins is not None and int(begins[1]) < life.iterations[-1]
    return text.startswith(_STARTS, start) or (goes_back and now < life.start)


def rejoined(lines: Iterable[str]) -> Iterator[str]:
    """The lines of a log that a console wrapped, each in one piece again.

    A console cuts at a fixed width: the length of the longest lines with glog's prefix, which another line without it
    follows. A line of that length goes on in the next one. A console may leave out a blank at the cut.
    If the width cannot be told, lines that go on in the next one lose their number: their rows are then left out.
    """
    rows = [line.rstrip("\r\n") for line in lines]
    has_prefix = [last_prefix(row) is not None for row in rows]
    goes_on = [
        this > after and rest != "" for this, after, rest in zip(has_prefix, has_prefix[1:], rows[1:], strict=False)
    ]
    width = max((len(row) for row, has in zip(rows, has_prefix, strict=True) if has), default=0)
    if sum(len(row) >= width - 1 and more for row, more in zip(rows, goes_on, strict=False)) < 2:
        yield from (f"{row}\n" for row in _without_cut_numbers(rows, goes_on))  # one odd line makes no wrapped log
        return
    whole = ""
    for number, row in enumerate(rows):
        whole += row
        follows = number + 1 < len(rows) and not has_prefix[number + 1] and rows[number + 1] != ""
        if whole and follows and len(row) == width:
            whole += lost_blank(row, rows[number + 1])
            continue
        if whole and follows and len(row) == width - 1 and has_prefix[number]:
            whole += " "
            continue
        yield whole + "\n"
        whole = ""


def _without_cut_numbers(rows: list[str], goes_on: list[bool]) -> list[str]:
    """The rows, without the number that two or more rows of one length have at their end and end in the next row.

    A number after an lr line is most often that of a Python layer, which prints while the next iteration runs.
    """
    cut = [
        number
        for number, (row, more) in enumerate(zip(rows, goes_on, strict=False))
        if more and not _SETS_RATE.search(row) and is_cut_off(row, rows[number + 1])
    ]
    lengths = Counter(len(rows[number]) for number in cut)
    kept = list(rows)
    for number in cut:
        if lengths[len(rows[number])] > 1:
            kept[number] = rows[number].rpartition("=")[0] + "="
    return kept
