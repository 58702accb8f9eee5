"""Builds the rows of a log from its lines, and finds the learning rate of each."""

import re
from collections import Counter
from functools import lru_cache
from operator import gt, sub
from typing import NamedTuple

from tools.caffe_log.displays import Displays, Outputs
from tools.caffe_log.table import FIRST_COLUMNS, Cut, Table

NAN = float("nan")
_MOST_OUTPUTS = 100_000  # of a row; a program that prints without an end must not fill the memory
_RESERVED = {*FIRST_COLUMNS, "SmoothedLoss", "TestLoss", "TestNet"}
_CUT_EXPONENT = re.compile(r"e[-+](?:\d|00)$")
_WINDOWS_NUMBERS = {"1.#QNAN": NAN, "1.#IND": NAN, "nan(ind)": NAN, "1.#INF": float("inf")}


class LogRow:
    """A row of the log. It is filled line by line until it is complete."""

    __slots__ = (
        "_names",
        "_weighted",
        "garbled",
        "iteration",
        "iters_per_s",
        "kind",
        "loss",
        "net",
        "seconds",
        "values",
    )

    def __init__(self, kind: str, iteration: int, seconds: float, net: int, loss: float | None, iters_per_s: float):
        self.kind = kind  # train or test
        self.iteration = iteration
        self.seconds = seconds
        self.net = net  # the test net's number; 0 for a train row
        self.loss = loss  # train: the smoothed loss of the `Iteration` line; test: `Test loss`, None if not printed
        self.iters_per_s = iters_per_s  # as displayed; NaN for a test, an old log or a meaningless rate
        self.garbled = False
        self.values: list[float] = []
        self._names: list[str] = []
        self._weighted: list[bool] = []

    @property
    def outputs(self) -> dict[str, float]:
        """The outputs of the net, by the names of their columns."""
        return dict(zip(_columns(tuple(self._names)), self.values, strict=True))

    @property
    def form(self) -> Outputs:
        return Outputs(tuple(self._names), tuple(self._weighted))

    def add(self, index: int, name: str, value: float | None, weighted: bool = False) -> None:
        """Adds output `#index`; `weighted`: its loss weight follows. A value that is not a number, or a missing output
        before it, makes the row garbled."""
        if value is None or index != len(self.values) or index >= _MOST_OUTPUTS:
            self.garbled = True
            return
        self._names.append(name)
        self._weighted.append(weighted)
        self.values.append(value)


class _Replaced(NamedTuple):
    """The rows that an attempt replaced, and what is needed to take the attempt back."""

    start: int  # the first iteration of the attempt
    reach: int  # the last iteration before the attempt
    snapshots: set[str]  # solverstates of the attempt before
    train: Cut
    test: Cut
    rows_before: int  # rows of both tables that stayed
    is_lost: bool  # the attempt began anew, after a training that had finished


class RowBuilder:
    """The tables, the open row, and the rows whose learning rate is not known yet."""

    def __init__(self) -> None:
        self.train = Table("SmoothedLoss")
        self.test = Table("TestNet")
        self.open: LogRow | None = None
        self.reach = -1  # the last iteration of the attempt whose rows are last in the tables
        self.snapshots: set[str] = set()  # names of the solverstates that this attempt wrote
        self._gap = 0  # the most iterations between two lines of the solver
        self.garbled = 0  # rows left out because a line is garbled, missing or was never written
        self._replaced: list[_Replaced] = []
        self.new_attempt()

    def new_attempt(self) -> None:
        """Resets the state of an attempt. The tables keep their rows."""
        self._outputs: dict[tuple[str, int], Outputs] = {}  # of the last complete row, by kind and net
        self._rate: float | None = None
        self._rate_before: float | None = None  # of the last row that the attempt goes on from
        self._rate_iteration = -1  # of the last lr line
        self._without_rate: list[tuple[Table, int, int, bool]] = []  # table, row index, iteration, as `_store` has it

    def move_to(self, iteration: int) -> None:
        """The attempt goes on to `iteration`."""
        self._gap = max(self._gap, iteration - self.reach)
        self.reach = iteration

    def replace_from(self, iteration: int, resumed: str = "", is_lost: bool = False) -> None:
        """A new attempt starts at `iteration`: its rows replace those from there on. `is_lost`: it is another training.

        It goes on from the last attempt that wrote the solverstate `resumed`, or else came as far. Attempts after that
        one are taken back: a restart by mistake must not cost the rows of the attempt whose snapshot is resumed later.
        If none came as far (the log of another attempt is missing), it goes on from the one that came farthest.
        """
        if resumed in self.snapshots or any(resumed in earlier.snapshots for earlier in self._replaced):
            while resumed not in self.snapshots:
                self._take_back()
        else:
            farthest = max([self.reach, *(earlier.reach for earlier in self._replaced)])
            while self.reach < min(iteration - self._gap, farthest):
                self._take_back()
        train, test = self.train.cut_from(iteration), self.test.cut_from(iteration)
        rows_before = len(self.train) + len(self.test)
        self._rate_before = next(
            (rate for rate in reversed(self.train.column("LearningRate")) if rate is not None), None
        )
        self._replaced.append(_Replaced(iteration, self.reach, self.snapshots, train, test, rows_before, is_lost))
        self.reach, self.snapshots = iteration, set()

    @property
    def lost_rows(self) -> int:
        """Rows of finished trainings that another training replaced."""
        lost = [cut for replaced in self._replaced if replaced.is_lost for cut in (replaced.train, replaced.test)]
        return sum(len(cut["NumIters"][0]) for cut in lost)

    def take_back_empty_attempt(self) -> None:
        """Restores the rows that the last attempt replaced, if it has none of its own."""
        if self._replaced and len(self.train) + len(self.test) == self._replaced[-1].rows_before:
            self._take_back()

    def _take_back(self) -> None:
        start, self.reach, self.snapshots, train, test, *_ = self._replaced.pop()
        for table, cut in ((self.train, train), (self.test, test)):
            table.cut_from(start)
            table.restore(cut)

    def outputs_of(self, kind: str) -> Outputs | None:
        """The outputs in this attempt's last complete row of the `kind` and net 0; None if there is none."""
        return self._outputs.get((kind, 0))

    def add_displays(self, displays: Displays, outputs: Outputs, seconds: list[float]) -> None:
        """Ends the open row and adds complete rows with their learning rates."""
        self.close()
        self._outputs["train", 0] = outputs
        cells = [list(map(float, displays.iterations)), seconds, displays.rates, *displays.outputs, displays.losses]
        self.train.extend(_row_columns(outputs.names, ("SmoothedLoss",)), cells)
        before, self._rate, self._rate_iteration = self._rate, displays.rates[0], displays.iterations[0]
        self.settle_rates(self._rate if before is None else before)
        self._rate, self._rate_iteration = displays.rates[-1], displays.iterations[-1]
        self._gap = max(self._gap, *map(sub, displays.iterations, [self.reach, *displays.iterations[:-1]]))
        self.reach = displays.iterations[-1]

    def close(self, cut: bool = False) -> LogRow | None:
        """Ends the open row, adds it to its table and returns it. `cut`: the log or the attempt ends here.

        Drops the row if it is garbled or empty, and a `cut` one if it may lack outputs.
        """
        row, self.open = self.open, None
        if row is None:
            return None
        if row.garbled or (row.loss is None and (row.kind == "train" or not row.values)):
            self.garbled += not cut
            return None
        outputs, key = row.form, (row.kind, row.net)
        known = self._outputs.get(key)
        if cut and known != outputs:
            return None
        if known and outputs.names and known != outputs and _lacks(outputs, known):
            self.garbled += 1
            return None
        self._outputs[key] = outputs
        self._store(row, outputs.names)
        return row

    def _store(self, row: LogRow, names: tuple[str, ...]) -> None:
        rate = self._rate if row.iteration == self._rate_iteration else None
        cells = [row.iteration, row.seconds, rate, *row.values]
        last: tuple[str, ...]
        if row.kind == "train":
            table, last = self.train, ("SmoothedLoss",)
            cells.append(row.loss)
        elif row.loss is None:
            table, last = self.test, ("TestNet",)
            cells.append(row.net)
        else:
            table, last = self.test, ("TestLoss", "TestNet")
            cells += [row.loss, row.net]
        index = table.append(_row_columns(names, last), cells)
        if rate is None:
            self._without_rate.append((table, index, row.iteration, bool(names)))

    def take_rate(self, iteration: int, rate: float | None) -> None:
        """Takes the lr line of another thread: the open row goes on. None: the line does not tell the rate."""
        if rate is None:
            return
        before, self._rate, self._rate_iteration = self._rate, rate, iteration
        self.settle_rates(rate if before is None else before)

    def end_with_rate(self, iteration: int, rate: float | None) -> LogRow | None:
        """Takes an lr line: ends the open row and settles the rates of the rows before it."""
        row = self.close()
        self.take_rate(iteration, rate)
        return row

    def settle_rates(self, others: float | None, is_last: bool = False) -> None:
        """Gives every row without a rate the rate of its own iteration, or else `others`.

        From a display on whose lr line is missing the rate is not known: such rows stay without.
        """
        displays = [row for row in self._without_rate if row[0] is self.train and row[2] != self._rate_iteration]
        if is_last and displays and not displays[-1][3]:
            displays.pop()  # the last display has no lr line
        known_until = min((iteration for _, _, iteration, _ in displays), default=None)
        for table, index, iteration, _ in self._without_rate:
            rate = self._rate if iteration == self._rate_iteration else others
            is_known = known_until is None or iteration < known_until or iteration == self._rate_iteration
            if rate is not None and is_known:
                table.set(index, "LearningRate", rate)
        self._without_rate.clear()

    def settle_last_rates(self) -> None:
        """Gives the remaining rows the last rate, because no other will follow.

        An attempt that goes on from the snapshot of the last iteration has no lr line of its own.
        """
        self.settle_rates(self._rate_before if self._rate is None else self._rate, is_last=True)

    @property
    def lost_rates(self) -> int:
        """Rows without a rate, but for those whose rate may follow."""
        return sum(len(table.blanks("LearningRate")) for table in (self.train, self.test)) - len(self._without_rate)


def number(text: str | None) -> float | None:
    """A number as C prints it, including nan and inf (also in Windows' spelling). None for anything else, also for
    the beginning of a number: `7.`, `1e-0`."""
    if text is None or text[-1:] == "." or ("e" in text and _CUT_EXPONENT.search(text)):
        return None
    try:
        return float(text)
    except ValueError:
        value = _WINDOWS_NUMBERS.get(text.removeprefix("-"))
        return -value if value is not None and text.startswith("-") else value


def _lacks(outputs: Outputs, known: Outputs) -> bool:
    """Whether the last outputs are missing, or a loss weight: the line was cut in its number."""
    names, count = outputs.names, len(outputs.names)
    if known.names[:count] != names:
        return False
    return count < len(known.names) or any(map(gt, known.weighted, outputs.weighted))


@lru_cache
def _columns(names: tuple[str, ...]) -> tuple[str, ...]:
    """A column for each output. An output of several values (accuracy of each class) is printed as several outputs of
    the same name: `acc[0]`, `acc[1]`. An output with the name of a fixed column gets brackets too: `Seconds[0]`."""
    count, index, columns = Counter(names), Counter[str](), []
    for name in names:
        column = name
        while count[name] > 1 or name in _RESERVED:
            column = f"{name}[{index[name]}]"
            index[name] += 1
            if column not in count:
                break
        columns.append(column)
    return tuple(columns)


@lru_cache
def _row_columns(names: tuple[str, ...], last: tuple[str, ...]) -> tuple[str, ...]:
    return (*FIRST_COLUMNS, *_columns(names), *last)
