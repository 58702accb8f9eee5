"""Claims tested on runs whose truth is known: which hold, which fail, and which comparison decides."""

from pathlib import Path

import numpy as np
import pytest

from benchmarks.simulated_sweeps import coverage, false_decisions, null, verdicts
from tests.helpers.claim_verdicts import as_the_thesis_has_it, claim_rows, exact
from tools.results.tables import Tables
from tools.stats.claim_tests import ClaimTester, NotApplicable
from tools.stats.claims_file import Claim, Comparison


def test_claims_hold_where_the_runs_say_so_and_fail_where_they_say_the_contrary():
    rows = claim_rows(exact(lambda size, name: as_the_thesis_has_it(size, name), spread=0.0001))
    assert {name: rows[name]["verdict"] for name in ("C1", "C3", "C4", "C5", "C12", "C13")} == dict.fromkeys(
        ("C1", "C3", "C4", "C5", "C12", "C13"), "holds"
    )
    turned = claim_rows(exact(lambda size, name: 1 - as_the_thesis_has_it(size, name), spread=0.0001))
    assert {turned[name]["verdict"] for name in ("C1", "C3", "C4", "C5", "C12", "C13")} == {"fails"}


def test_a_conjunction_is_as_sure_as_its_weakest_comparison_and_says_which_that_is():
    def truth(size: int, condition: str) -> float:
        return 0.5 + (0.05 if condition == "S3T" and size != 200 else 0.0)

    row = claim_rows(exact(truth))["C3"]
    assert row["verdict"] == "undecided"
    assert row["at"] == "S3T - S4T at 200" and abs(row["effect"]) < 0.01
    assert row["sizes"] == "500 400 300 200 100 50" and row["n"] == 2 * 6 * 2 * 3
    reversed_at_one = claim_rows(
        exact(lambda size, name: truth(size, name) - (0.2 if (size, name) == (200, "S3T") else 0))
    )
    assert reversed_at_one["C3"]["verdict"] == "fails"


def test_not_at_500_leaves_a_margin_but_not_two_points():
    def truth(at_500: float):
        return lambda size, name: 0.5 + ((at_500 if size == 500 else 0.05) if name == "FTall" else 0)

    assert claim_rows(exact(truth(0.0), spread=0.0002))["C7"]["verdict"] == "holds"
    assert claim_rows(exact(truth(0.02), spread=0.0002))["C7"]["verdict"] == "fails"


def test_a_comparison_that_one_seed_alone_has_leaves_the_claim_undecided_and_is_named():
    tables = exact(as_the_thesis_has_it, spread=0.0001)
    for row in tables.runs:
        if (row["size"], row["condition"], row["direction"]) == (50, "S5T", "A2B") and row["seed"] > 0:
            row["status"] = "stuck"
    row = claim_rows(tables)["C13"]
    assert (row["verdict"], row["note"]) == ("undecided", "one seed only has all runs of S5T - base at 50")
    seeds = {row["seed"] for row in tables.runs}
    assert (row["interval"], row["seeds"]) in {("seeds", len(seeds)), ("", 1)}


@pytest.mark.parametrize("side", [{"left": "S2T"}, {"some": ["frozen"]}, {"some": ["S2T", "base"]}])
def test_a_condition_that_is_in_a_group_of_the_right_side_is_compared_with_the_others_of_it_alone(side: dict):
    tables = exact(lambda size, name: 0.5 + 0.1 * (name == "S2T"), spread=0.0001)
    test = ClaimTester(tables, 0.01).test(own_claim(**side, right=["frozen"]))
    assert test.deciding.label.startswith("S2T - ") and test.deciding.estimate.effect == pytest.approx(0.1, abs=0.001)
    pairs = {tuple(term.label.split(" at ")[0].split(" - ")) for term in test.terms}
    assert ("S2T", "S3T") in pairs and not any(left == right for left, right in pairs)


def test_a_size_where_one_condition_of_a_group_was_measured_has_none_to_compare_it_with():
    tables = exact(as_the_thesis_has_it)
    tables.runs[:] = [row for row in tables.runs if row["condition"] in ("base", "S2T")]
    with pytest.raises(NotApplicable, match="the conditions to compare were not measured"):
        ClaimTester(tables, 0.01).test(own_claim(some=["frozen"], right=["frozen"]))


def own_claim(**keys) -> Claim:
    return Claim(says="mine", holds_if=[Comparison(kind="above", **keys)])


def test_a_trend_needs_three_sizes_that_are_numbers():
    tables = exact(as_the_thesis_has_it)
    tables.__dict__["runs"] = [row | {"size": "all" if row["size"] == 500 else row["size"]} for row in tables.runs]
    assert claim_rows(tables)["C12"]["at"].endswith("from 400 to 50")
    tables.__dict__["runs"] = [row for row in tables.runs if row["size"] in ("all", 100, 50)]
    assert claim_rows(tables)["C12"]["note"] == "no runs of S1T and S2T and S3T and base at 3 sizes"
    assert claim_rows(tables)["C1"]["sizes"] == "all 100 50"


def test_two_data_sets_with_the_same_pattern_agree_and_with_the_reverse_do_not():
    own = exact(as_the_thesis_has_it)
    assert "another data set" in claim_rows(own)["C17"]["note"]
    same = claim_rows(own, other=exact(as_the_thesis_has_it, dataset="miniplaces"))["C17"]
    assert (same["effect"], same["unit"]) == (1.0, "rho")
    assert (same["n"], same["seeds"]) == (len(own.runs), len(own.seeds))
    turned = claim_rows(own, other=exact(lambda s, c: 1 - as_the_thesis_has_it(s, c), dataset="miniplaces"))["C17"]
    assert (same["verdict"], turned["verdict"]) == ("holds", "fails")


@pytest.mark.parametrize(("best", "verdict"), [(10000, "holds"), (15000, "fails")])
def test_the_prestudy_is_read_from_its_learning_curves(best: int, verdict: str):
    runs, curves = [], []
    for seed in range(8):
        key = f"B2A/n0500/base/seed{seed}"
        place = {"dataset": "tiny-imagenet", "direction": "B2A", "size": 500, "condition": "base", "seed": seed}
        runs.append(place | {"accuracy": 0.5, "status": "ok", "run": f"models/tiny-prestudy/{key}"})
        curves += [
            {"run": key, "iteration": at, "validation_loss": 1 + abs(at - best) / 1e5} for at in range(0, 25001, 1000)
        ]
    prestudy = Tables(Path("prestudy"))
    prestudy.__dict__.update(runs=runs, curves=curves, predictions={})
    row = claim_rows(exact(null), prestudy=prestudy)["C11"]
    assert (row["verdict"], row["effect"], row["unit"]) == (verdict, best, "iterations")


@pytest.mark.slow
def test_the_intervals_cover_the_truth_as_often_as_they_say():
    """The quick version of `make reliability`: 300 sweeps; three standard errors of 0.95 are 0.038."""
    for share in coverage(np.random.RandomState(2), 4, 300).values():
        assert 0.95 - 0.038 <= share <= 0.95 + 0.038


@pytest.mark.slow
def test_without_any_difference_claims_are_rarely_decided():
    found = verdicts(np.random.RandomState(3), 4, 40, null)
    assert false_decisions(found) <= 0.05 + 3 * np.sqrt(0.05 * 0.95 / 40)
