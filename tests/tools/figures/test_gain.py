"""The figure gain: the mean difference to base of the same net and seed."""

from collections.abc import Callable
from pathlib import Path

import pytest

from tests.helpers.figure_files import is_whole, rows
from tests.helpers.finished_runs import demo
from tools.figures import NoData, gain
from tools.results.columns import Row

pytestmark = pytest.mark.usefixtures("root")


def test_gain_is_the_mean_of_paired_differences_and_leaves_out_flagged_runs(tables):
    table = tables[0]
    assert table[0]["status"] == "stuck" and table[0]["condition"] == "base"
    gain.draw(demo(), table, Path())
    found = {(row["size"], row["condition"]): row for row in rows("gain")}
    assert len(found) == 2 * 8
    own = {(row["direction"], row["condition"]): row["accuracy"] for row in table if row["size"] == 500}
    assert float(found["500", "S3T"]["gain"]) == pytest.approx(own["B2A", "S3T"] - own["B2A", "base"], abs=1e-6)
    assert found["500", "S3T"]["n"] == "1" and found["50", "S3T"]["n"] == "2"
    assert is_whole("gain")


@pytest.mark.parametrize(
    ("kept", "why"),
    [
        (lambda row: row["condition"] != "base", "no run of base has the status ok"),
        (
            lambda row: row["condition"] in ("base", "T3T"),
            "no run of FTall or SnT has the status ok, and only these are",
        ),
        (
            lambda row: row["size"] == (500 if row["condition"] == "base" else 50),
            "no run of FTall or SnT has a base run of the same size, direction and seed",
        ),
    ],
    ids=["no base", "only base and a control", "of different sizes"],
)
def test_without_pairs_the_reason_says_which_runs_are_missing(tables, kept: Callable[[Row], bool], why: str):
    with pytest.raises(NoData, match=why):
        gain.draw(demo(), list(filter(kept, tables[0])), Path())
