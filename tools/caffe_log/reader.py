"""LogReader: which line means what. The rules are in this package's docstring."""

import re
import statistics
from array import array
from collections import deque
from itertools import pairwise

from tools.caffe_log.glog import PREFIX, Clock, last_prefix
from tools.caffe_log.rows import NAN, Event, Rows, number
from tools.caffe_log.table import Table

_CONTEXT = 6  # lines kept for a report, the last one included
_ITERATION = re.compile(
    r"Iteration (\d+)(?: \((\S+) iter/s, (\S+)s/.*?\))?, "
    r"(?:(loss|lr) = (\S+)|Testing net(?: \(#(\d+)\))?|(Test score #\d+: \S+))\s*$"
)
_OUTPUT = re.compile(r"(?:\w+ net output|\w+ score) #(\d+):(?: (.*?) =)? (\S+)(?: \(\* \S+ = \S+ loss\))?\s*$")
_TEST_LOSS = re.compile(r"Test loss: (\S+)\s*$")
_STACK = ("@ ", "*** Check failure stack trace", "PC: @")
_CRASH = ("*** SIG", "terminate called", "  what():")


class Log:
    """What a log says. `finished`, `stopped_early` and `fatal` are the last attempt's."""

    def __init__(self, train: Table, test: Table) -> None:
        self.train = train
        self.test = test
        self.attempts = 0
        self.seconds = 0.0  # trained in all attempts, up to the solver's last line; set by `finish`
        self.finished = False  # trained to max_iter
        self.stopped_early = False  # by SIGINT; Caffe prints `Optimization Done.` then too
        self.fatal: list[str] = []  # the message of an abort and the lines before it, without stack frames
        self.tail: list[str] = []  # the last lines of all, without stack frames; set by `finish`
        self.ignored_layers: list[str] = []  # layers of the weights that the train net has none of
        self.rates = array("d")  # iter/s as displayed, without garbage

    @property
    def iters_per_s(self) -> float:
        """The median of the displayed rates, of the time between train rows if none is displayed; NaN for neither."""
        points = pairwise(zip(self.train.column("NumIters"), self.train.column("Seconds"), strict=True))
        rates = self.rates or [(n - m) / (t - s) for (m, s), (n, t) in points if n > m and t > s]
        return statistics.median(rates) if rates else NAN


class LogReader:
    """Fed a log's lines, whole ones only, in order: `feed` tells of each row, `log` holds all that was read so far."""

    def __init__(self) -> None:
        self._rows = Rows()
        self.log = Log(self._rows.train, self._rows.test)
        self._clock = Clock()
        self._spent = 0  # microseconds of the attempts before
        self._mark = 0  # microseconds of all attempts up to the solver's last line
        self._micros = ""  # those of the current line
        self._recent: deque[str] = deque(maxlen=_CONTEXT)
        self._train_layers: set[str] = set()
        self._in_train_net = False
        self._handlers = {
            "Iteration": self._iteration_line,
            "Train": self._train_output,
            "Training": self._train_output,
            "Test": self._test_output,
            "Testing": self._testing,
            "Snapshotting": self._end_row,
            "Optimization": self._optimization,
            "Initializing": self._initializing,
            "Solving": self._solving,
            "Creating": self._creating,
            "Finetuning": self._finetuning,
            "Ignoring": self._ignoring,
        }
        self._new_attempt()

    def _new_attempt(self) -> None:
        self._stage = ""  # then initialized, then solving
        self._iteration: int | None = None
        self._displayed = False
        self._copied = False

    def feed(self, line: str) -> Event | None:
        """Takes the next line, with or without its line end; returns the row that it completes, if any."""
        prefix = PREFIX.match(line)
        if prefix is None or line.find("] ", prefix.end()) >= 0:  # no other line can have a later prefix
            prefix = last_prefix(line)
            if prefix is None:
                self._foreign(line)
                return None
        severity, second, self._micros, word = prefix.groups()
        if second != self._clock.second:
            self._clock.turn(second)
            self.log.attempts = self.log.attempts or 1
        self._recent.append(line)
        if severity == "F":
            self.log.fatal = _clean(self._recent)
        handler = self._handlers.get(word)
        return handler(line, prefix.start(4)) if handler else None

    def finish(self) -> Log:
        """Call it at the end of the log: decides about the row that is still open. Returns `log`."""
        self._rows.close(cut=True)
        self.log.seconds = self._mark / 1e6
        self.log.tail = _clean(self._recent)
        return self.log

    # Rows

    def _iteration_line(self, line: str, at: int) -> Event | None:
        match = _ITERATION.match(line, at)
        if match is None:
            return None
        iteration, rate, lapse, key, value, net, score = match.groups()
        iteration = int(iteration)
        event = None if iteration == self._iteration else self._go_to(iteration)
        self._mark = self._spent + self._clock.read(self._micros)
        if score is not None:
            return self._inline_score(line, match.start(7)) or event
        if key == "lr":
            return self._rows.end_with_rate(iteration, number(value)) or event
        event = self._rows.close() or event
        if key == "loss":
            self._begin_row("train", 0, number(value), self._displayed_rate(rate, lapse))
        else:
            self._begin_row("test", int(net or 0))
        return event

    def _go_to(self, iteration: int) -> Event | None:
        """Notes the iteration that the solver is at; where it went back, ends the attempt, with its open row."""
        event = None
        if self._iteration is not None and iteration < self._iteration:
            event = self._end_attempt()
        if self._iteration is None and self.log.attempts > 1:
            self._rows.replace_from(iteration)
        self._iteration = iteration
        self._stage = "solving"
        return event

    def _begin_row(self, kind: str, net: int = 0, loss: float | None = None, iters_per_s: float = NAN) -> None:
        self._rows.open = Event(kind, self._iteration, self._mark / 1e6, net, loss, iters_per_s)

    def _inline_score(self, line: str, at: int) -> Event | None:
        """`Iteration N, Test score #0: 0.1`: for some weeks of 2014 each score named its iteration."""
        event, row = None, self._rows.open
        if row is None or row.kind != "test" or row.iteration != self._iteration:
            event = self._rows.close()
            self._begin_row("test")
        self._test_output(line, at)
        return event

    def _testing(self, line: str, at: int) -> Event | None:
        """`Testing net` alone: 2013, when the iteration was not named."""
        event = self._rows.close()
        if self._iteration is not None and line[at:].strip() == "Testing net":
            self._begin_row("test")
        return event

    def _train_output(self, line: str, at: int) -> None:
        row = self._rows.open
        if row and row.kind == "train":
            self._add_output(row, line, at)

    def _test_output(self, line: str, at: int) -> None:
        row = self._rows.open
        if row is None or row.kind == "train":
            return
        if not row.values:
            self._mark = self._spent + self._clock.read(self._micros)
            row.seconds = self._mark / 1e6
        if match := _TEST_LOSS.match(line, at):
            row.loss = number(match[1])
        else:
            self._add_output(row, line, at)

    def _add_output(self, row: Event, line: str, at: int) -> None:
        match = _OUTPUT.match(line, at)
        if match:
            index, name, value = match.groups()
            row.add(int(index), name or f"score_{index}", number(value))
        else:
            row.spoilt = True  # garbled, or `Test interrupted.`

    def _end_row(self, line: str, at: int) -> Event | None:
        self._mark = self._spent + self._clock.read(self._micros)
        return self._rows.close()

    def _displayed_rate(self, rate: str | None, lapse: str | None) -> float:
        """iter/s of a display. An attempt's first is garbage, and so is that of a lapse too short for Caffe's timer."""
        first, self._displayed = not self._displayed, True
        value = number(rate) or NAN
        if first or not number(lapse) or not value > 0:
            return NAN
        self.log.rates.append(value)
        return value

    # Attempts

    def _initializing(self, line: str, at: int) -> Event | None:
        if not line.startswith("Initializing solver from", at):
            return None
        event = self._end_attempt() if self._stage or self.log.fatal else None
        self._stage = "initialized"
        return event

    def _solving(self, line: str, at: int) -> Event | None:
        event = self._end_attempt() if self._stage == "solving" else None
        self._stage = "solving"
        self._clock.start(self._micros)
        return event

    def _end_attempt(self) -> Event | None:
        event = self._rows.close(cut=True)
        self._rows.new_attempt()
        self._spent = self._mark
        self._clock.start(self._micros)
        self.log.attempts += 1
        self.log.finished = self.log.stopped_early = False
        self.log.fatal = []
        self._new_attempt()
        return event

    def _optimization(self, line: str, at: int) -> Event | None:
        event = self._end_row(line, at)
        if line.startswith("Optimization stopped early", at):
            self.log.stopped_early = True
        elif line.startswith("Optimization Done", at):
            self.log.finished = not self.log.stopped_early
            self._rows.settle_last_rates()
        return event

    # Facts

    def _creating(self, line: str, at: int) -> None:
        if line.startswith("Creating train", at):
            self._in_train_net = True
            self._train_layers.clear()
        elif line.startswith("Creating test", at):
            self._in_train_net = False
        elif self._in_train_net and line.startswith("Creating Layer ", at):
            self._train_layers.add(line[at:].strip().removeprefix("Creating Layer "))

    def _finetuning(self, line: str, at: int) -> None:
        """Weights are copied. Several files have a line each, and newer Caffes repeat it for each test net."""
        if not self._copied:
            self.log.ignored_layers = []
        self._copied = True

    def _ignoring(self, line: str, at: int) -> None:
        """Each net says this again. A layer that the train net has is one that only a test net lacks."""
        layer = line[at:].strip().removeprefix("Ignoring source layer ")
        if layer not in self._train_layers and layer not in self.log.ignored_layers:
            self.log.ignored_layers.append(layer)

    def _foreign(self, line: str) -> None:
        """A line without glog's prefix: another program's, a later line of a message, or a crash."""
        if line.lstrip().startswith(_STACK):
            return
        self._recent.append(line)
        if line.startswith(_CRASH):
            self.log.fatal = _clean(self._recent)


def _clean(lines: deque[str]) -> list[str]:
    return [line.strip() for line in lines if line.strip()]
