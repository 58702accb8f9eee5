"""Puts the rows of a log together from its lines, and each row's learning rate with it."""

from collections import Counter
from functools import lru_cache

from tools.caffe_log.table import FIRST, Table

NAN = float("nan")
_RESERVED = {*FIRST, "SmoothedLoss", "TestLoss", "TestNet"}
_WINDOWS = {"1.#QNAN": NAN, "1.#IND": NAN, "nan(ind)": NAN, "1.#INF": float("inf")}


class Event:
    """A row: told of as soon as it is complete, and until then filled from its lines."""

    __slots__ = ("_names", "iteration", "iters_per_s", "kind", "loss", "net", "seconds", "spoilt", "values")

    def __init__(self, kind: str, iteration: int, seconds: float, net: int, loss: float | None, iters_per_s: float):
        self.kind = kind  # train or test
        self.iteration = iteration
        self.seconds = seconds
        self.net = net  # the test net's number; 0 for a train row
        self.loss = loss  # train: the smoothed loss of the `Iteration` line; test: `Test loss`, None without
        self.iters_per_s = iters_per_s  # as displayed; NaN for a test, an old log or a garbage rate
        self.spoilt = False
        self.values: list[float] = []
        self._names: list[str] = []

    @property
    def outputs(self) -> dict[str, float]:
        """The net's outputs, by the names of their columns."""
        return dict(zip(_columns(self.names), self.values, strict=True))

    @property
    def names(self) -> tuple[str, ...]:
        return tuple(self._names)

    def add(self, index: int, name: str, value: float | None) -> None:
        """Takes output `#index`; one that is no number, or whose forerunner is missing, spoils the row."""
        if value is None or index != len(self.values):
            self.spoilt = True
            return
        self._names.append(name)
        self.values.append(value)


class Rows:
    """The tables, the row that is open, and the rows that wait for their learning rate."""

    def __init__(self) -> None:
        self.train = Table("SmoothedLoss")
        self.test = Table("TestNet")
        self.open: Event | None = None
        self.new_attempt()

    def new_attempt(self) -> None:
        """Forgets what holds for one attempt only; what its tables hold stays."""
        self._outputs: dict[tuple[str, int], tuple[str, ...]] = {}  # names in the last complete row, by kind and net
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
        names, key = row.names, (row.kind, row.net)
        if cut and self._outputs.get(key) != names:
            return None
        self._outputs[key] = names
        self._store(row, names)
        return row

    def _store(self, row: Event, names: tuple[str, ...]) -> None:
        rate = self._rate if row.iteration == self._rate_at else None
        cells = [row.iteration, row.seconds, rate, *row.values, row.loss]
        if row.kind == "train":
            table, last = self.train, ("SmoothedLoss",)
        elif row.loss is None:
            table, last, cells[-1] = self.test, ("TestNet",), row.net
        else:
            table, last = self.test, ("TestLoss", "TestNet")
            cells.append(row.net)
        index = table.append(_row_columns(names, last), cells)
        if rate is None:
            self._unrated.append((table, index, row.iteration))

    def end_with_rate(self, iteration: int, rate: float | None) -> Event | None:
        """An lr line ends the open row, and says the rate of the rows that wait, or that theirs was the one before."""
        before, self._rate, self._rate_at = self._rate, rate, iteration
        event = self.close()
        self.settle_rates(rate if before is None else before)
        return event

    def settle_rates(self, others: float | None) -> None:
        """Gives the rows that wait the rate of their own iteration, else `others`."""
        for table, index, iteration in self._unrated:
            rate = self._rate if iteration == self._rate_at else others
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
def _row_columns(names: tuple[str, ...], last: tuple[str, ...]) -> tuple[str, ...]:
    return (*FIRST, *_columns(names), *last)
