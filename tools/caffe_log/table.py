"""A table of numbers that grows by rows and knows blank cells, and its CSV."""

import csv
import io
from array import array
from bisect import bisect_left
from collections import Counter
from collections.abc import Callable, Iterator, Sequence

FIRST_COLUMNS = ("NumIters", "Seconds", "LearningRate")  # as Caffe's tools/extra/parse_log.py names them
_NAN = float("nan")
Cut = dict[str, tuple["array[float]", set[int]]]  # cells and blank indices of each column


class Table:
    """Rows in ascending order of NumIters. Columns: NumIters, Seconds, LearningRate, the outputs, then `last`.

    A cell is a float or blank. Blank means that the log does not have the value; NaN means that the engine printed nan.
    This tells the last display, which has no outputs, from a run that diverged. A column is stored as an array of
    doubles and the set of its blank indices.
    """

    def __init__(self, *last: str) -> None:
        self._cells = {name: array("d") for name in (*FIRST_COLUMNS, *last)}
        self._blank: dict[str, set[int]] = {name: set() for name in self._cells}
        self._last = last
        self._appenders: dict[tuple[str, ...], list[Callable[[float], None]]] = {}  # one per cell of such a row

    def __len__(self) -> int:
        return len(self._cells["NumIters"])

    @property
    def columns(self) -> list[str]:
        """The names in the order of the CSV, without output columns that have no value at all."""
        outputs = [name for name in self._cells if name not in FIRST_COLUMNS and name not in self._last]
        return [*FIRST_COLUMNS, *(name for name in outputs if len(self._blank[name]) < len(self)), *self._last]

    def column(self, name: str) -> list[float | None]:
        """One column, None for a blank cell."""
        blank = self._blank[name]
        return [None if index in blank else cell for index, cell in enumerate(self._cells[name])]

    def blanks(self, name: str) -> set[int]:
        """The indices of the rows that have a blank cell in a column."""
        return self._blank[name]

    def numbers(self, name: str) -> Sequence[float]:
        """One column as doubles, NaN for a blank cell."""
        return self._cells[name]

    def rows(self) -> Iterator[dict[str, float | None]]:
        names = self.columns
        for cells in zip(*map(self.column, names), strict=True):
            yield dict(zip(names, cells, strict=True))

    def append(self, names: tuple[str, ...], values: list[float | None]) -> int:
        """Adds a row with a value for each of `names`; None and other columns are blank. Returns the row's index."""
        index = len(self)
        appenders = self._appenders.get(names) or self._new_appenders(names)
        if None in values or len(names) < len(self._cells):
            cells = dict(zip(names, values, strict=True))
            for name in self._cells:
                if cells.get(name) is None:
                    self._blank[name].add(index)
                    cells[name] = _NAN
            values = list(cells.values())
            appenders = [self._cells[name].append for name in cells]
        for append, value in zip(appenders, values, strict=True):
            append(_NAN if value is None else value)
        return index

    def _new_appenders(self, names: tuple[str, ...]) -> list[Callable[[float], None]]:
        for name in names:
            if name not in self._cells:
                self._cells[name] = array("d", [_NAN]) * len(self)
                self._blank[name] = set(range(len(self)))
        self._appenders[names] = [self._cells[name].append for name in names]
        return self._appenders[names]

    def extend(self, names: tuple[str, ...], columns: list[list[float]]) -> None:
        """Adds rows, given as a column for each of `names`. Other columns are blank in them."""
        first, count = len(self), len(columns[0])
        self._appenders.get(names) or self._new_appenders(names)
        given = dict(zip(names, columns, strict=True))
        for name, cells in self._cells.items():
            if name in given:
                cells.fromlist(given[name])
            else:
                cells.extend(array("d", [_NAN]) * count)
                self._blank[name].update(range(first, first + count))

    def set(self, index: int, name: str, value: float) -> None:
        self._cells[name][index] = value
        self._blank[name].discard(index)

    def cut_from(self, iteration: int) -> Cut:
        """Removes the rows whose NumIters is `iteration` or more, and returns them for `restore`."""
        count = bisect_left(self._cells["NumIters"], iteration)
        cut: Cut = {}
        for name, cells in self._cells.items():
            blank = self._blank[name]
            cut[name] = (cells[count:], {index - count for index in blank if index >= count})
            del cells[count:]
            self._blank[name] = {index for index in blank if index < count}
        return cut

    def restore(self, cut: Cut) -> None:
        """Appends rows that `cut_from` removed. Columns that came since then are blank in them."""
        count, rows = len(self), len(cut["NumIters"][0])
        for name, cells in self._cells.items():
            added, blank = cut.get(name) or (array("d", [_NAN]) * rows, set(range(rows)))
            cells.extend(added)
            self._blank[name] |= {index + count for index in blank}

    def _is_constant(self, name: str) -> bool:
        """Whether all cells have the same bytes, as most often those of the learning rate; not for NumIters."""
        cells = self._cells[name]
        return name != "NumIters" and len(cells) > 0 and cells.tobytes() == cells[:1].tobytes() * len(cells)

    def csv(self) -> str:
        """A header and one line per row. Numbers have the digits of the log, `nan` and `inf` stay, blanks are empty."""
        out = io.StringIO()
        names = self.columns
        csv.writer(out, lineterminator="\n").writerow(names)
        forms, columns = list[str](), list[Sequence[float] | list[str]]()
        raw = {name: memoryview(self._cells[name]).cast("B") for name in names}
        first = {name: next(other for other in names if raw[other] == raw[name]) for name in names}
        times = Counter(first.values())
        texts: dict[str, list[str]] = {}  # of columns that are there twice, as often a loss and the smoothed one
        for name in names:
            cells = self._cells[name]
            if self._is_constant(name):
                forms.append(f"{cells[0]:.15g}")
            elif times[first[name]] == 1:
                forms.append("%.15g")
                columns.append(cells)
            else:
                forms.append("%s")
                columns.append(texts.get(first[name]) or texts.setdefault(name, list(map("%.15g".__mod__, cells))))
        lines = list(map((",".join(forms) + "\n").__mod__, zip(*columns, strict=True)))
        for index in set().union(*(self._blank[name] for name in names)):
            row = ("" if index in self._blank[name] else f"{self._cells[name][index]:.15g}" for name in names)
            lines[index] = ",".join(row) + "\n"
        out.writelines(lines)
        return out.getvalue()
