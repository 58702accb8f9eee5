"""Many lines of today's form at once: most of a long log is the same few lines with other numbers.

    I0228 10:00:00.123456  1234 solver.cpp:239] Iteration 20 (5 iter/s, 4s/20 iters), loss = 2.3
    I0228 10:00:00.123489  1234 solver.cpp:258]     Train net output #0: loss = 2.3 (* 1 = 2.3 loss)
    I0228 10:00:00.123502  1234 sgd_solver.cpp:112] Iteration 20, lr = 0.01

Such a display, whole and within one second, is taken as a whole, and so is a test; any other line is read by
`LogReader.feed`. The names of the outputs and the thread are those that were read last.
"""

import re
from collections.abc import Iterator, Sequence
from functools import lru_cache
from operator import ge
from typing import NamedTuple

LINES = re.compile(r"[^\n]*\n")
_MOST_OUTPUTS = 50  # in a form; it is compiled in a time that grows with them
_PLAIN_NAME = re.compile(r"[\w./:-]+")
_DAY = r"(?:[12][0-9]{3})?(?:0[1-9]|1[0-2])(?:0[1-9]|[12][0-9]|3[01])"  # as PREFIX of glog.py has it
_MINUTE = _DAY + r" (?:[01][0-9]|2[0-3]):[0-5][0-9]"
_NUMBER = r"([-+.0-9aefin]++)(?<!\.)(?<!e[-+][0-9])(?<!e[-+]00)"  # float() judges it, but for a cut one: `7.`, `1e-0`
_WEIGHT = r" \(\* [^\s\]]++ = [^\s\]]++ loss\)"
_FILE = r"[^\s\]:]+:[0-9]+"
_FILES = re.compile(rf" ({_FILE})\]")


class Displays(NamedTuple):
    """Successive displays, as columns of the same length."""

    texts: tuple[str, ...]  # the lines of each
    minutes: tuple[str, ...]  # "0228 10:00"
    seconds: list[int]  # of the minute
    micros: list[int]  # in the prefix of the `Iteration` line
    iterations: list[int]  # each is above the one before it
    iters_per_s: list[float]  # 0 if not displayed
    lapses: list[float]  # seconds; 0 if not displayed
    losses: list[float]
    outputs: list[list[float]]  # a column for each output
    rate_micros: list[int]  # in the prefix of the `lr` line
    rates: list[float]


class OneTest(NamedTuple):
    """A test of the first test net."""

    text: str
    second: str  # "0228 10:00:00" of the `Iteration` line
    micros: str
    iterations: list[int]  # one
    output_second: str  # of the first output
    output_micros: str
    outputs: list[float]


class Outputs(NamedTuple):
    """The outputs of a net, as its lines show them."""

    names: tuple[str, ...] = ()
    weighted: tuple[bool, ...] = ()  # whether `(* 1 = 2.5 loss)` follows the value


class Form(NamedTuple):
    """What the lines of a training have in common."""

    thread: str  # as glog prints it
    train: Outputs
    test: Outputs  # of the first test net; empty: tests are not looked for

    @property
    def is_known(self) -> bool:
        names = self.train.names + self.test.names
        return bool(self.thread) and len(names) <= _MOST_OUTPUTS and all(map(_PLAIN_NAME.fullmatch, names))

    def parts(self, text: str) -> Iterator[tuple[Sequence[str], Displays | OneTest | None]]:
        """The text, whose lines are whole, in parts: successive displays, a test, or other lines, with their text."""
        first = _display(self).search(text) if self.is_known else None
        if first is None:
            yield [text], None
            return
        # All displays are of the same places in Caffe's source: a pattern that names them is faster.
        found = _display_or_else(self, tuple(_FILES.findall(first[0]))).findall(text)
        size = 10 + len(self.train.names)  # groups of a display
        between = [index for index, cells in enumerate(found) if not cells[0]]
        start = 0
        for index in [*between, len(found)]:
            if index > start:
                columns = list(zip(*found[start:index], strict=True))
                yield columns[0], _displays(columns[:size])
            if index < len(found):
                *test, line = found[index][size:]
                yield ([line], None) if line else (test[:1], _test(test))
            start = index + 1


@lru_cache
def _display(form: Form, files: tuple[str, ...] = ()) -> re.Pattern[str]:
    """A display, of lines that come from `files`: `solver.cpp:239`."""
    places = [re.escape(file) for file in files] or [_FILE] * (len(form.train.names) + 2)
    first, *others, last = [_before(form, place) for place in places]
    outputs = _outputs(form.train, [rf"I\2:\3\.[0-9]{{6}}{before}Train" for before in others])
    return re.compile(
        rf"(I({_MINUTE}):([0-5][0-9])\.([0-9]{{6}}){first}Iteration ([0-9]{{1,18}})"
        rf"(?: \({_NUMBER} iter/s, {_NUMBER}s/[0-9]++ iters\))?, loss = {_NUMBER}\r?\n"
        rf"{outputs}I\2:\3\.([0-9]{{6}}){last}Iteration \5, lr = {_NUMBER}\r?\n)"
    )


@lru_cache
def _display_or_else(form: Form, files: tuple[str, ...]) -> re.Pattern[str]:
    """The groups of a display, those of a test, and any other line. Those that are not there are empty."""
    second, before = rf"I({_MINUTE}:[0-5][0-9])\.([0-9]{{6}})", _before(form)
    again = rf"I\{len(form.train.names) + 15}\.[0-9]{{6}}{before}Test"
    outputs = _outputs(form.test, [f"{second}{before}Test", *[again] * len(form.test.names)])
    test = (
        rf"({second}{before}Iteration ([0-9]{{1,18}}), Testing net \(#0\)\r?\n{outputs})"
        if form.test.names
        else "((?!))"
    )
    return re.compile(f"{_display(form, files).pattern}|{test}|({LINES.pattern})")


def _before(form: Form, place: str = _FILE) -> str:
    """What stands between the time and the message."""
    return rf" ++{re.escape(form.thread)} {place}\] *+"


def _outputs(outputs: Outputs, starts: list[str]) -> str:
    return "".join(
        rf"{start} net output #{index}: {re.escape(name)} = {_NUMBER}{_WEIGHT if weighted else ''}\r?\n"
        for index, (name, weighted, start) in enumerate(zip(*outputs, starts, strict=False))
    )


def _test(groups: list[str]) -> OneTest | None:
    text, second, micros, iteration, output_second, output_micros, *outputs = groups
    try:
        return OneTest(text, second, micros, [int(iteration)], output_second, output_micros, list(map(float, outputs)))
    except ValueError:
        return None


def _displays(columns: list[tuple[str, ...]]) -> Displays | None:
    """From the groups of the pattern. None if a number is none, or an iteration is not above the one before it."""
    texts, minutes, seconds, micros, iterations, iters_per_s, lapses, losses, *outputs, rate_micros, rates = columns
    try:
        displays = Displays(
            texts=texts,
            minutes=minutes,
            seconds=list(map(int, seconds)),
            micros=list(map(int, micros)),
            iterations=list(map(int, iterations)),
            iters_per_s=_numbers(iters_per_s),
            lapses=_numbers(lapses),
            losses=_numbers(losses),
            outputs=list(map(_numbers, outputs)),
            rate_micros=list(map(int, rate_micros)),
            rates=_numbers(rates),
        )
    except ValueError:
        return None
    return None if any(map(ge, displays.iterations, displays.iterations[1:])) else displays


def _numbers(cells: tuple[str, ...]) -> list[float]:
    """0 for an empty cell. Raises ValueError."""
    if cells.count(cells[0]) == len(cells):  # most often so of the learning rate
        return [float(cells[0] or 0)] * len(cells)
    return list(map(float, cells if all(cells) else (cell or 0 for cell in cells)))
