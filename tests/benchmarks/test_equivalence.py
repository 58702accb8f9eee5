"""The statistics and the tables of `make equivalence`, whose trainings `make test` does not run."""

from pathlib import Path

import numpy as np
import pytest
from scipy import stats

from benchmarks import equivalence, full_width
from benchmarks.parity_report import report, with_sections
from tests.helpers import engine_runs

DOCS = engine_runs.CHECKOUT / "docs"
CAFFES = np.array([0.905, 0.912, 0.898, 0.921, 0.909, 0.915, 0.902, 0.917, 0.908, 0.911])
NOISE = np.array([1, -2, 3, 0, -3, 2, -1, 1, 2, -2]) / 1000


def verdict(shift: float) -> equivalence.Verdict:
    return equivalence.tost({"caffe": CAFFES, "torchcaffe": CAFFES + NOISE + shift})


@pytest.mark.parametrize(
    ("shift", "equivalent"), [(0, True), (0.008, True), (0.0095, False), (-0.02, False), (0.02, False)]
)
def test_equivalent_is_what_lies_within_a_point_beyond_doubt(shift: float, equivalent: bool) -> None:
    found = verdict(shift)
    assert found.equivalent == equivalent
    assert found.equivalent == (found.interval[0] > -0.01 and found.interval[1] < 0.01)


def test_p_is_the_larger_of_the_two_tests() -> None:
    found = verdict(0.004)
    apart = NOISE + 0.004
    error = apart.std(ddof=1) / np.sqrt(10)
    assert found.p == pytest.approx(stats.t.sf((0.01 - apart.mean()) / error, 9))
    assert found.difference == pytest.approx(apart.mean())


def test_a_seed_counts_where_both_engines_ended_well(tmp_path: Path) -> None:
    rows = {"caffe": ["0,0.9,ok", "1,0.2,stuck", "2,0.91,ok"], "torchcaffe": ["2,0.92,ok", "0,0.89,ok", "1,0.9,ok"]}
    for engine, lines in rows.items():
        folder = tmp_path / equivalence.ENGINES[engine]
        folder.mkdir()
        (folder / "runs.csv").write_text("\n".join(["seed,accuracy,status", *lines]) + "\n")
    assert equivalence.collect(tmp_path) == "seed,caffe,torchcaffe\n0,0.9,0.89\n2,0.91,0.92\n"


def test_the_published_page_is_that_of_the_published_figures() -> None:
    page = (DOCS / "parity.md").read_text()
    assert page == with_sections(page, DOCS)
    assert page.count("\n## ") == 4


def test_the_page_opens_with_what_its_table_shows(tmp_path: Path) -> None:
    figures = {
        "ReLU: outputs": {"comparisons": 3, "tolerance": 1e-5, "worst": 0.0},
        "LRN: bottom gradients": {"comparisons": 4, "tolerance": 1e-5, "worst": 2e-5},
        "one step of SGD: weights": {"comparisons": 5, "tolerance": 3e-6, "worst": 1e-6},
    }
    answers = with_sections(report(figures), tmp_path).partition("## ")[0]
    assert "| 2 of 3 kinds of comparison are; 12 comparisons in all |" in answers
    assert "| 1 kinds, 3 comparisons |" in answers
    assert (
        "at most 2e-05 of the largest value (LRN: bottom gradients); 1e-05 is allowed; 2 kinds, 7 comparisons"
        in answers
    )
    assert "at most 1e-06 of the largest value (one step of SGD: weights)" in answers
    assert "Do trained nets have the same accuracy?" not in answers


def test_what_is_apart_is_counted_in_printed_digits() -> None:
    rows = [
        {"kind": kind, "iteration": str(iteration), "caffe": "1.60944", "torchcaffe": other}
        for kind, iteration, other in [
            ("test", 0, "1.60944"),
            ("train", 0, "1.60944"),
            ("train", 19, "1.60945"),
            ("train", 20, "1.60944"),
        ]
    ]
    found = full_width.divergence(rows, "torchcaffe")
    assert (found.first, found.equal) == (19, {"display": (2, 2), "tests": (1, 1)})
    assert found.worst[0] == (10, pytest.approx(6.2e-6, rel=0.01))
