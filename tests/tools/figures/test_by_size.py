"""The figure by_size: accuracy against size, a line a condition."""

from pathlib import Path

import pytest

from tests.helpers.figure_files import ALL_CONDITIONS, is_whole, rows
from tests.helpers.finished_runs import demo
from tools.figures import NoData, by_size

pytestmark = pytest.mark.usefixtures("root")


def test_by_size_has_a_line_for_every_condition_of_the_thesis_and_no_control(tables):
    by_size.draw(demo(), *tables, Path())
    found = rows("by_size")
    assert list(dict.fromkeys(row["condition"] for row in found)) == ALL_CONDITIONS[:9]
    assert [row["size"] for row in found[:2]] == ["500", "50"]
    summary = {(row["condition"], str(row["size"])): row for row in tables[1]}
    assert all(float(row["low"]) == summary[row["condition"], row["size"]]["low"] for row in found)
    assert is_whole("by_size")


def test_one_size_makes_no_line_and_the_reason_names_it(tables):
    with pytest.raises(NoData, match="fewer than two target sizes with a number have runs with the status ok: 50"):
        by_size.draw(demo(), tables[0], [row for row in tables[1] if row["size"] == 50], Path())
