"""What a cell may hold: each kind takes what the verbs write, and refuses the rest."""

import math

import pytest

from tools.results.cells import ANYTHING, KINDS
from tools.training.outcome import FLAGS


@pytest.mark.parametrize(
    ("column", "texts", "values"),
    [
        ("size", ["all", "60", "60.0"], ["all", 60, 60]),
        ("seed", ["0", "2147483647"], [0, 2**31 - 1]),
        ("accuracy", ["0", "1", "0.5"], [0, 1, 0.5]),
        ("best_iter", ["300", "300.5"], [300, 300.5]),
        ("loss", ["-2", "1e-3", "inf"], [-2, 0.001, math.inf]),
        ("class", ["001", "nan"], ["001", "nan"]),
        ("resumed_at", ["100", "100 200"], ["100", "100 200"]),
        ("status", ["ok", *FLAGS], ["ok", *FLAGS]),
    ],
)
def test_a_cell_has_the_value_and_type_of_its_column(column: str, texts: list[str], values: list) -> None:
    read = [KINDS[column].read(text) for text in texts]
    assert read == values and [type(value) for value in read] == [type(value) for value in values]


@pytest.mark.parametrize(
    ("column", "text"),
    [
        *[("size", "0"), ("seed", "-1"), ("seed", "nan"), ("accuracy", "1.01"), ("accuracy", "inf"), ("sd", "-0.1")],
        *[("best_iter", "x"), ("loss", "0,5"), ("status", "Ok"), ("condition", "S0T"), ("n", "2.5")],
    ],
)
def test_other_values_are_refused(column: str, text: str) -> None:
    with pytest.raises(ValueError):
        KINDS[column].read(text)


def test_a_cell_of_an_unknown_column_is_a_number_where_it_can_be_one() -> None:
    assert [ANYTHING.read(text) for text in ("7", "-7", "0.5", "abc")] == [7, -7, 0.5, "abc"]
