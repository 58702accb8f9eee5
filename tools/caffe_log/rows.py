"""Puts the rows of a log together from its lines, and each row's learning rate with it."""

from collections import Counter
from dataclasses import dataclass, field
from functools import lru_cache
from typing import NamedTuple

from tools.caffe_log.table import FIRST, Table

NAN = float("nan")
_RESERVED = {*FIRST, "SmoothedLoss", "TestLoss", "TestNet"}
_WINDOWS = {"1.#QNAN": NAN, "1.#IND": NAN, "nan(ind)": NAN, "1.#INF": float("inf")}


class Event(NamedTuple):
    """A row, as soon as it is complete."""

    kind: str  # train or test
    iteration: int
    seconds: float
    loss: float  # train: the smoothed loss of the `Iteration` line; test: `Test loss`, or NaN
    outputs: dict[str, float]
    net: int  # the test net's number; 0 for a train row
    iters_per_s: float  # as displayed; NaN for a test, an old log or a garbage rate


@dataclass(slots=True)
class Row:
    """A row whose lines are still coming."""

    kind: str
    iteration: int
    seconds: float
    net: int = 0
    loss: float | None = None
    iters_per_s: float = NAN
    spoilt: bool = False
    names: list[str] = field(default_factory=list)
    values: list[float] = field(default_factory=list)

    def add(self, index: int, name: str, value: float | None) -> None:
        """Takes output `#index`; one that is no number, or whose forerunner is missing, spoils the row."""
        if value is None or index != len(self.values):
            self.spoilt = True
            return
        self.names.append(name)
        self.values.append(value)


class Rows:
    """The tables, the row that is open, and the rows that wait for their learning rate."""

    def __init__(self) -> None:
        self.train = Table("SmoothedLoss")
        self.test = Table("TestNet")
        self.open: Row | None = None
        self.new_attempt()

    def new_attempt(self) -> None:
        """Forgets what holds for one attempt only; what its tables hold stays."""
        self._outputs: dict[tuple[str, int], tuple[str, ...]] = {}  # names that a complete row has, by kind and net
        self._rate: float | None = None
        self._rate_at = -1  # the iteration of the last lr line
        self._unrated: list[tuple[Table, int, int]] = []  # table, row index, iteration

    def replace_from(self, iteration: int) -> None:
        """Drops the rows that an attempt which begins at `iteration` makes anew."""
        self.train.drop_from(iteration)
        self.test.drop_from(iteration)

    def close(self, cut: bool = False) -> Event | None:
        """Ends the open row: into its table, unless it is spoilt, empty, or `cut` and not known to be complete."""
        row, self.open = self.open, None
        if row is None or row.spoilt or (row.loss is None and (row.kind == "train" or not row.values)):
            return None
        names, key = tuple(row.names), (row.kind, row.net)
        if cut and self._outputs.get(key) != names:
            return None
        if names or key not in self._outputs:  # the last display has none
            self._outputs[key] = names
        self._store(row, names)
        loss = NAN if row.loss is None else row.loss
        outputs = dict(zip(_columns(names), row.values, strict=True))
        return Event(row.kind, row.iteration, row.seconds, loss, outputs, row.net, row.iters_per_s)

    def _store(self, row: Row, names: tuple[str, ...]) -> None:
        rate = self._rate if row.iteration == self._rate_at else None
        cells = [row.iteration, row.seconds, rate, *row.values, row.loss]
        if row.kind == "train":
            table, columns = self.train, _row_columns(names, "SmoothedLoss")
        elif row.loss is None:
            table, columns, cells[-1] = self.test, _row_columns(names, "TestNet"), row.net
        else:
            table, columns = self.test, _row_columns(names, "TestLoss", "TestNet")
            cells.append(row.net)
        index = table.append(columns, cells)
        if rate is None:
            self._unrated.append((table, index, row.iteration))

    def end_with_rate(self, iteration: int, rate: float | None) -> Event | None:
        """An lr line ends the open row. Rows that wait get this rate if it is of their iteration, else the one before."""
        before, self._rate, self._rate_at = self._rate, rate, iteration
        event = self.close()
        self.settle_rates(before)
        return event

    def settle_rates(self, before: float | None) -> None:
        """Gives the rows that wait the rate of their own iteration, else the one `before`."""
        for table, index, iteration in self._unrated:
            rate = self._rate if iteration == self._rate_at else before
            if rate is not None:
                table.set(index, "LearningRate", rate)
        self._unrated.clear()

    def settle_last_rates(self) -> None:
        """No rate will come any more: the rows that wait keep the last one."""
        self.settle_rates(self._rate)


def number(text: str | None) -> float | None:
    """A number as C prints it, nan and inf included, as Windows prints them too; None for anything else."""
    if text is None:
        return None
    try:
        return float(text)
    except ValueError:
        value = _WINDOWS.get(text.removeprefix("-"))
        return -value if value is not None and text.startswith("-") else value


@lru_cache
def _columns(names: tuple[str, ...]) -> tuple[str, ...]:
    """A column for each output. One of several values (accuracy a class) prints each under the same name: `acc[0]`,
    `acc[1]`. An output that is named as a fixed column gets brackets too: `Seconds[0]`."""
    times, seen, columns = Counter(names), Counter(), []
    for name in names:
        columns.append(f"{name}[{seen[name]}]" if times[name] > 1 or name in _RESERVED else name)
        seen[name] += 1
    return tuple(columns)


@lru_cache
def _row_columns(names: tuple[str, ...], *last: str) -> tuple[str, ...]:
    return (*FIRST, *_columns(names), *last)
