"""The figure controls: a panel a size, base and every kind of control."""

from pathlib import Path

import pytest

from tests.helpers.figure_files import ALL_CONDITIONS, is_whole, rows
from tests.helpers.finished_runs import demo
from tools.figures import NoData, controls

pytestmark = pytest.mark.usefixtures("root")


def test_controls_have_a_panel_a_size_with_base_and_all_kinds(tables):
    controls.draw(demo(), *tables, Path())
    found = rows("controls")
    assert {row["size"] for row in found} == {"500", "50"}
    assert [row["condition"] for row in found if row["size"] == "50"][:3] == ["base", "S1T", "S2T"]
    assert {row["condition"] for row in found} == set(ALL_CONDITIONS) - {"FTall"}
    assert is_whole("controls")


def test_the_control_of_the_budget_is_a_level_line_with_base_and_ftall(tables):
    runs, summary = tables
    longer = [row | {"condition": "base+"} for row in summary if row["condition"] == "base" and row["size"] == 50]
    of_thesis = [row for row in summary if row["condition"] in ALL_CONDITIONS[:9]]
    controls.draw(demo(), runs, [*of_thesis, *longer], Path())
    found = rows("controls")
    assert {row["size"] for row in found} == {"50"}, "the size at which it was run"
    assert [row["condition"] for row in found][:3] == ["base", "FTall", "S1T"] and found[-1]["condition"] == "base+"
    assert is_whole("controls")


def test_without_controls_there_is_no_such_figure(tables):
    with pytest.raises(NoData, match="no control condition has been run"):
        controls.draw(demo(), tables[0], [row for row in tables[1] if row["condition"] in ALL_CONDITIONS[:9]], Path())


def test_controls_whose_runs_are_all_flagged_are_no_missing_runs(tables):
    flagged = [row | {"n": 0} if row["condition"] != "base" else row for row in tables[1]]
    with pytest.raises(NoData, match="no control condition has a run with the status ok"):
        controls.draw(demo(), tables[0], flagged, Path())
