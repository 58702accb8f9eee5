"""A table of a log: blank cells, NaN, columns that appear late, and the CSV."""

import math

from tools.caffe_log.table import FIRST_COLUMNS, Table


def filled() -> Table:
    """Two rows of a test net: the second has an output that the first lacks."""
    table = Table("TestNet")
    table.append((*FIRST_COLUMNS, "loss", "TestNet"), [0, 1.5, 0.1, 2.5, 0])
    table.append((*FIRST_COLUMNS, "loss", "top5", "TestNet"), [100, 3.0, None, math.nan, 0.75, 0])
    return table


def test_a_blank_cell_is_none_and_nan_stays_a_number() -> None:
    table = filled()
    assert len(table) == 2
    assert table.column("top5") == [None, 0.75]
    assert table.column("LearningRate") == [0.1, None]
    loss = table.column("loss")
    assert loss[0] == 2.5 and loss[1] is not None and math.isnan(loss[1])
    assert [row["NumIters"] for row in table.rows()] == [0, 100]


def test_numbers_have_nan_for_a_blank_cell() -> None:
    first, second = filled().numbers("top5")
    assert math.isnan(first) and second == 0.75


def test_a_cell_can_be_filled_later() -> None:
    table = filled()
    table.set(1, "LearningRate", 0.01)
    assert table.column("LearningRate") == [0.1, 0.01]


def test_rows_from_an_iteration_on_are_dropped_and_a_column_without_a_value_is_left_out() -> None:
    table = filled()
    assert table.columns == [*FIRST_COLUMNS, "loss", "top5", "TestNet"]
    table.cut_from(100)
    assert table.column("NumIters") == [0]
    assert table.columns == [*FIRST_COLUMNS, "loss", "TestNet"]
    table.cut_from(0)
    assert len(table) == 0 and table.csv() == "NumIters,Seconds,LearningRate,TestNet\n"


def test_the_csv_has_the_digits_of_the_log_empty_blanks_and_nan_as_printed() -> None:
    assert filled().csv() == (
        "NumIters,Seconds,LearningRate,loss,top5,TestNet\n"
        "0,1.5,0.1,2.5,,0\n"
        "100,3,,nan,0.75,0\n"
    )  # fmt: skip


def test_rows_given_as_columns_are_those_appended_one_by_one() -> None:
    names = (*FIRST_COLUMNS, "other", "TestNet")
    one_by_one, at_once = filled(), filled()
    for iteration in (200.0, 300.0):
        one_by_one.append(names, [iteration, 1.5, 0.1, 7.0, 0.0])
    at_once.extend(names, [[200.0, 300.0], [1.5, 1.5], [0.1, 0.1], [7.0, 7.0], [0.0, 0.0]])
    assert list(at_once.rows())[-2:] == list(one_by_one.rows())[-2:] and at_once.csv() == one_by_one.csv()


def test_the_text_of_equal_and_of_constant_columns_is_that_of_each_cell() -> None:
    """Also where blanks differ, and where zeros and nan have signs or several bytes."""
    names = (*FIRST_COLUMNS, "a", "b", "c", "d", "zero")
    table = Table("SmoothedLoss")
    rows: list[list[float | None]] = [
        [0, 0.5, 0.1, 2.5, 2.5, 2.5, float("nan"), 0.0],
        [20, 1.5, 0.1, 1 / 3, 1 / 3, 1 / 3, float("nan"), -0.0],
        [40, 2.5, 0.1, None, 7, 7, 7, 0.0],
        [60, 3.5, 0.1, 8, 8, 8, float("-inf"), 0.0],
    ]
    for row in rows:
        table.append(names, row)
    right = [",".join("" if cell is None else f"{cell:.15g}" for cell in [*row, None]) for row in rows]
    assert table.csv().splitlines() == [",".join([*names, "SmoothedLoss"]), *right]
