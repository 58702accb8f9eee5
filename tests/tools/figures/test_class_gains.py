"""The figure class_gains: the classes with the largest gains and losses at the smallest size."""

from pathlib import Path

import pytest

from tests.helpers.figure_files import is_whole, rows
from tests.helpers.finished_runs import demo
from tools.figures import NoData, class_gains
from tools.results.columns import CLASS_COLUMNS, Row, row_of

pytestmark = pytest.mark.usefixtures("root")


def table(classes: int, size: int = 10, condition: str = "FTall") -> list[Row]:
    def row(number: int, gain: float | None, condition: str) -> Row:
        ends = {"gain": gain, "low": gain - 0.1, "high": gain + 0.1} if gain is not None else {}
        return row_of(CLASS_COLUMNS, size=size, condition=condition, **{"class": str(number)}, accuracy=0.5, **ends)

    of_base = [row(number, None, "base") for number in range(classes)]
    return of_base + [row(number, 0.5 - number / (classes - 1), condition) for number in range(classes)]


@pytest.mark.parametrize("classes", [2, 10, 100])
def test_the_figure_is_whole_and_its_table_has_every_class(classes):
    class_gains.draw(demo(), table(classes), Path())
    found = rows("class_gains")
    assert len(found) == classes and float(found[0]["gain"]) == 0.5 and float(found[-1]["gain"]) == -0.5
    assert is_whole("class_gains")


def test_it_shows_the_smallest_size_and_a_frozen_condition_if_ftall_was_not_run():
    class_gains.draw(demo(), [*table(4, size=60), *table(4, size=10, condition="S2T")], Path())
    assert {(row["size"], row["condition"]) for row in rows("class_gains")} == {("10", "S2T")}


def test_without_classes_it_says_what_is_missing():
    with pytest.raises(NoData, match="no class was scored by base and by a condition that copies"):
        class_gains.draw(demo(), [row for row in table(4) if row["condition"] == "base"], Path())
