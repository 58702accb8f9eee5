"""LogReader: interprets the lines of a log. The package docstring has the rules."""

import re
import statistics
from array import array
from collections import deque
from itertools import pairwise

from tools.caffe_log.glog import PREFIX, Clock, last_prefix
from tools.caffe_log.rows import NAN, LogRow, RowBuilder, number
from tools.caffe_log.table import Table

_CONTEXT = 6  # lines kept to report an abort, the last one included
_ITERATION = re.compile(
    r"Iteration (\d+)(?: \((\S+) iter/s, (\S+)s/.*?\))?, "
    r"(?:(loss|lr) = (\S+)|Testing net(?: \(#(\d+)\))?|(Test score #\d+: \S+))\s*$"
)
_OUTPUT = re.compile(r"(?:\w+ net output|\w+ score) #(\d+):(?: (.*?) =)? (\S+)(?: \(\* \S+ = \S+ loss\))?\s*$")
_TEST_LOSS = re.compile(r"Test loss: (\S+)\s*$")
_STACK = ("@ ", "*** Check failure stack trace", "PC: @")
_CRASH = ("*** SIG", "terminate called", "  what():")


class Log:
    """The content of a log. `finished`, `stopped_early` and `fatal` are those of the last attempt."""

    def __init__(self, train: Table, test: Table) -> None:
        self.train = train
        self.test = test
        self.attempts = 0
        self.seconds = 0.0  # of training in all attempts, up to the solver's last line; set by `finish`
        self.finished = False  # trained to max_iter
        self.stopped_early = False  # by SIGINT; Caffe prints `Optimization Done.` then too
        self.fatal: list[str] = []  # an abort's message and the lines before it, without stack frames
        self.tail: list[str] = []  # the last lines of the log, without stack frames; set by `finish`
        self.ignored_layers: list[str] = []  # layers in the weights file that the train net does not have
        self.rates = array("d")  # iter/s as displayed, without meaningless ones

    @property
    def iters_per_s(self) -> float:
        """The median of the displayed rates; if there are none, of those between train rows; otherwise NaN."""
        points = pairwise(zip(self.train.numbers("NumIters"), self.train.numbers("Seconds"), strict=True))
        rates = self.rates or [(n - m) / (t - s) for (m, s), (n, t) in points if n > m and t > s]
        return statistics.median(rates) if rates else NAN


class LogReader:
    """Takes the lines of a log in order, complete lines only. `feed` returns each row; `log` has all that was read."""

    def __init__(self) -> None:
        self._rows = RowBuilder()
        self.log = Log(self._rows.train, self._rows.test)
        self._clock = Clock()
        self._earlier_time = 0  # microseconds of the earlier attempts
        self._time = 0  # microseconds of all attempts, up to the solver's last line
        self._micros = ""  # microseconds in the prefix of the current line
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
        self._stage = ""  # later initialized, then solving
        self._iteration: int | None = None
        self._displayed = False
        self._has_copied = False

    def feed(self, line: str) -> LogRow | None:
        """Takes the next line, with or without its line end. Returns the row that it completes, if any."""
        prefix = PREFIX.match(line)
        if prefix is None or line.find("] ", prefix.end()) >= 0:  # only such a line can have a later prefix
            prefix = last_prefix(line)
            if prefix is None:
                self._other_line(line)
                return None
        severity, second, self._micros, word = prefix.groups()
        if second != self._clock.second:
            self._clock.set_second(second)
            self.log.attempts = self.log.attempts or 1
        self._recent.append(line)
        if severity == "F":
            self.log.fatal = _stripped(self._recent)
        handler = self._handlers.get(word)
        return handler(line, prefix.start(4)) if handler else None

    def finish(self) -> Log:
        """To be called at the end of the log: keeps or drops the open row. Returns `log`."""
        self._rows.close(cut=True)
        self.log.seconds = self._time / 1e6
        self.log.tail = _stripped(self._recent)
        return self.log

    # Rows

    def _iteration_line(self, line: str, start: int) -> LogRow | None:
        match = _ITERATION.match(line, start)
        if match is None:
            return None
        digits, rate, lapse, key, value, net, score = match.groups()
        iteration = int(digits)
        row = None if iteration == self._iteration else self._set_iteration(iteration)
        self._time = self._earlier_time + self._clock.read(self._micros)
        if score is not None:
            return self._inline_score(line, match.start(7), iteration) or row
        if key == "lr":
            return self._rows.end_with_rate(iteration, number(value)) or row
        row = self._rows.close() or row
        if key == "loss":
            self._begin_row("train", iteration, 0, number(value), self._displayed_rate(rate, lapse))
        else:
            self._begin_row("test", iteration, int(net or 0))
        return row

    def _set_iteration(self, iteration: int) -> LogRow | None:
        """Sets the solver's iteration. If it is lower than before, the attempt ends, and its open row is returned."""
        row = None
        if self._iteration is not None and iteration < self._iteration:
            row = self._end_attempt()
        if self._iteration is None and self.log.attempts > 1:
            self._rows.replace_from(iteration)
        self._iteration = iteration
        self._stage = "solving"
        return row

    def _begin_row(
        self, kind: str, iteration: int, net: int = 0, loss: float | None = None, iters_per_s: float = NAN
    ) -> None:
        self._rows.open = LogRow(kind, iteration, self._time / 1e6, net, loss, iters_per_s)

    def _inline_score(self, line: str, start: int, iteration: int) -> LogRow | None:
        """`Iteration N, Test score #0: 0.1`: for some weeks of 2014 every score line had the iteration."""
        completed, row = None, self._rows.open
        if row is None or row.kind != "test" or row.iteration != iteration:
            completed = self._rows.close()
            self._begin_row("test", iteration)
        self._test_output(line, start)
        return completed

    def _testing(self, line: str, start: int) -> LogRow | None:
        """`Testing net` alone: 2013, when the line had no iteration."""
        row = self._rows.close()
        if self._iteration is not None and line[start:].strip() == "Testing net":
            self._begin_row("test", self._iteration)
        return row

    def _train_output(self, line: str, start: int) -> None:
        row = self._rows.open
        if row and row.kind == "train":
            self._add_output(row, line, start)

    def _test_output(self, line: str, start: int) -> None:
        row = self._rows.open
        if row is None or row.kind == "train":
            return
        if not row.values:
            self._time = self._earlier_time + self._clock.read(self._micros)
            row.seconds = self._time / 1e6
        if match := _TEST_LOSS.match(line, start):
            row.loss = number(match[1])
        else:
            self._add_output(row, line, start)

    def _add_output(self, row: LogRow, line: str, start: int) -> None:
        match = _OUTPUT.match(line, start)
        if match:
            index, name, value = match.groups()
            row.add(int(index), name or f"score_{index}", number(value))
        else:
            row.garbled = True  # garbled, or `Test interrupted.`

    def _end_row(self, line: str, start: int) -> LogRow | None:
        self._time = self._earlier_time + self._clock.read(self._micros)
        return self._rows.close()

    def _displayed_rate(self, rate: str | None, lapse: str | None) -> float:
        """iter/s of a display; NaN for the first of an attempt and for a time too short for Caffe's timer."""
        first, self._displayed = not self._displayed, True
        value = number(rate) or NAN
        if first or not number(lapse) or not value > 0:
            return NAN
        self.log.rates.append(value)
        return value

    # Attempts

    def _initializing(self, line: str, start: int) -> LogRow | None:
        if not line.startswith("Initializing solver from", start):
            return None
        row = self._end_attempt() if self._stage or self.log.fatal else None
        self._stage = "initialized"
        return row

    def _solving(self, line: str, start: int) -> LogRow | None:
        row = self._end_attempt() if self._stage == "solving" else None
        self._stage = "solving"
        self._clock.restart(self._micros)
        return row

    def _end_attempt(self) -> LogRow | None:
        row = self._rows.close(cut=True)
        self._rows.new_attempt()
        self._earlier_time = self._time
        self._clock.restart(self._micros)
        self.log.attempts += 1
        self.log.finished = self.log.stopped_early = False
        self.log.fatal = []
        self._new_attempt()
        return row

    def _optimization(self, line: str, start: int) -> LogRow | None:
        row = self._end_row(line, start)
        if line.startswith("Optimization stopped early", start):
            self.log.stopped_early = True
        elif line.startswith("Optimization Done", start):
            self.log.finished = not self.log.stopped_early
            self._rows.settle_last_rates()
        return row

    # Layers and weights

    def _creating(self, line: str, start: int) -> None:
        if line.startswith("Creating train", start):
            self._in_train_net = True
            self._train_layers.clear()
        elif line.startswith("Creating test", start):
            self._in_train_net = False
        elif self._in_train_net and line.startswith("Creating Layer ", start):
            self._train_layers.add(line[start:].strip().removeprefix("Creating Layer "))

    def _finetuning(self, line: str, start: int) -> None:
        """Weights are copied. Each weights file has a line, and newer Caffes repeat them for each test net."""
        if not self._has_copied:
            self.log.ignored_layers = []
        self._has_copied = True

    def _ignoring(self, line: str, start: int) -> None:
        """Each net prints this. A layer that the train net has is one that only a test net lacks: not counted."""
        layer = line[start:].strip().removeprefix("Ignoring source layer ")
        if layer not in self._train_layers and layer not in self.log.ignored_layers:
            self.log.ignored_layers.append(layer)

    def _other_line(self, line: str) -> None:
        """A line without glog's prefix: of another program, a later line of a message, or of a crash."""
        if line.lstrip().startswith(_STACK):
            return
        self._recent.append(line)
        if line.startswith(_CRASH):
            self.log.fatal = _stripped(self._recent)


def _stripped(lines: deque[str]) -> list[str]:
    return [line.strip() for line in lines if line.strip()]
