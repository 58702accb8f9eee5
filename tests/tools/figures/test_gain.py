"""The figure gain: the mean difference to base of the same net and seed."""

from pathlib import Path

import pytest

from tests.helpers.figure_files import is_whole, rows
from tests.helpers.finished_runs import demo
from tools.figures import NoData, gain

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


def test_gain_without_a_base_is_refused(tables):
    with pytest.raises(NoData, match="no condition has a base run"):
        gain.draw(demo(), [row for row in tables[0] if row["condition"] != "base"], Path())
