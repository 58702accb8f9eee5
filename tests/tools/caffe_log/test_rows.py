"""Rows of a log from its lines: which are complete, the columns of their outputs, and the learning rate of each."""

import math

import pytest

from tools.caffe_log.rows import LogRow, RowBuilder, number


def train_row(iteration: int, loss: float | None = 1.5) -> LogRow:
    return LogRow("train", iteration, 0.5 * iteration, 0, loss, 10.0)


def test_a_row_keeps_its_outputs_in_order_and_numbers_those_of_one_name() -> None:
    row = LogRow("test", 20, 3.0, 0, None, math.nan)
    for index, (name, value) in enumerate([("acc", 0.5), ("acc", 0.75), ("loss", 1.25), ("Seconds", 7.0)]):
        row.add(index, name, value)
    assert row.outputs == {"acc[0]": 0.5, "acc[1]": 0.75, "loss": 1.25, "Seconds[0]": 7.0}
    assert not row.garbled


@pytest.mark.parametrize(("index", "value"), [(0, None), (1, 0.5)], ids=["no number", "a missing output before it"])
def test_an_output_that_cannot_be_placed_makes_the_row_garbled(index: int, value: float | None) -> None:
    rows = RowBuilder()
    rows.open = train_row(0)
    rows.open.add(index, "loss", value)
    assert rows.open.garbled
    assert rows.close() is None and len(rows.train) == 0


def rates_of(*lines: tuple[str, int, float | None]) -> tuple[list[float | None], list[float | None]]:
    """The rates of the train rows and of the test rows."""
    rows = RowBuilder()
    for kind, iteration, rate in lines:
        if kind == "lr":
            rows.end_with_rate(iteration, rate)
            continue
        rows.close()
        rows.open = LogRow(kind, iteration, 1.0, 0, 1.5, math.nan)
    rows.close()
    rows.settle_last_rates()
    return rows.train.column("LearningRate"), rows.test.column("LearningRate")


def test_a_row_gets_the_rate_of_its_own_iteration_and_a_test_between_displays_the_rate_before() -> None:
    lines = [("test", 0, None), ("train", 0, None), ("lr", 0, 0.1), ("test", 10, None), ("train", 20, None)]
    assert rates_of(*lines, ("lr", 20, 0.01)) == ([0.1, 0.01], [0.1, 0.1])
    assert rates_of(*lines) == ([0.1, 0.1], [0.1, 0.1])  # the last display has no lr line


@pytest.mark.parametrize("lost", [[], [("lr", 20, None)]], ids=["missing", "garbled"])
def test_a_display_whose_rate_is_lost_has_none_and_so_have_the_tests_up_to_the_next_rate(lost: list) -> None:
    before = [("lr", 0, 0.1), ("train", 0, None), ("test", 10, None), ("test", 20, None), ("train", 20, None)]
    after = [("test", 30, None), ("test", 40, None), ("train", 40, None), ("lr", 40, 0.01), ("test", 50, None)]
    assert rates_of(*before, *lost, *after) == ([0.1, None, 0.01], [0.1, None, None, 0.01, 0.01])


def test_the_last_rows_get_the_last_rate() -> None:
    rows = RowBuilder()
    rows.open = train_row(0)
    rows.end_with_rate(0, 0.1)
    rows.open = train_row(10)
    rows.close()
    assert rows.train.column("LearningRate") == [0.1, None]
    rows.settle_last_rates()
    assert rows.train.column("LearningRate") == [0.1, 0.1]


def test_a_row_at_a_cut_counts_only_with_all_the_outputs_of_the_one_before() -> None:
    rows = RowBuilder()
    for outputs, cut in (((0.5, 1.0), False), ((0.6,), True), ((0.7, 0.8), True)):
        rows.open = LogRow("test", 10, 1.0, 0, None, math.nan)
        for index, value in enumerate(outputs):
            rows.open.add(index, f"output{index}", value)
        rows.close(cut)
    assert rows.test.column("output0") == [0.5, 0.7]


def test_a_new_attempt_replaces_the_rows_from_where_it_starts() -> None:
    rows = RowBuilder()
    for iteration in (0, 10, 20):
        rows.open = train_row(iteration)
        rows.close()
    rows.replace_from(10)
    assert rows.train.column("NumIters") == [0]


def test_numbers_are_read_as_c_and_windows_print_them() -> None:
    assert [number(text) for text in ("1e-05", "-3", "inf", "-1.#INF")] == [1e-05, -3, math.inf, -math.inf]
    for text in ("nan", "-nan", "1.#QNAN", "-1.#IND", "nan(ind)"):
        value = number(text)
        assert value is not None and math.isnan(value), text
    assert [number(text) for text in ("0.7.1", "", "0,7", None)] == [None] * 4


def test_columns_of_outputs_of_the_same_name_have_no_name_of_another_output() -> None:
    row = train_row(0)
    for index, name in enumerate(["acc", "acc", "acc[0]"]):
        row.add(index, name, float(index))
    assert row.outputs == {"acc[1]": 0, "acc[2]": 1, "acc[0]": 2}


def test_a_row_that_lacks_the_last_outputs_of_the_row_before_is_left_out() -> None:
    rows = RowBuilder()
    for iteration, outputs in enumerate([2, 1, 0, 2]):
        rows.open = train_row(iteration)
        for index in range(outputs):
            rows.open.add(index, f"output{index}", 0.5)
        rows.close()
    assert list(rows.train.numbers("NumIters")) == [0, 2, 3] and rows.garbled == 1  # the last display has none


@pytest.mark.parametrize("text", ["7.", "0.", "-", "1e", "1e-", "1e-0", "1e+0", "1e-00", ""])
def test_the_beginning_of_a_number_is_none(text: str) -> None:
    assert number(text) is None
    assert number("1e-05") == 1e-05 and number("1e-005") == 1e-05 and number(".5") == 0.5


def test_a_row_without_the_loss_weight_of_the_row_before_was_cut_in_its_number() -> None:
    rows = RowBuilder()
    for value, weighted in ((0.95, True), (0.5, False), (0.75, True)):
        rows.open = LogRow("test", 10, 1.0, 0, None, math.nan)
        rows.open.add(0, "accuracy", 0.5)
        rows.open.add(1, "loss", value, weighted)
        rows.close()
    assert rows.test.column("loss") == [0.95, 0.75] and rows.garbled == 1
