"""claims: tables in, a verdict a claim out; from results/ or from published tables alone."""

import csv
from pathlib import Path

import numpy as np
import pytest

from benchmarks.simulated_sweeps import coverage, false_decisions, null, sweep, verdicts
from tests.helpers.finished_runs import demo, finish, predict
from tools.claims import claims, decide, main
from tools.common.errors import UserError
from tools.planning.stages import claims_stage
from tools.protocol.experiment import Experiment
from tools.results.columns import CLAIM_COLUMNS
from tools.results.tables import Tables
from tools.stats.claim_places import default_places
from tools.stats.claims_file import THESIS, load
from tools.summarize import summarize

pytestmark = pytest.mark.usefixtures("root")


def is_complete(exp: Experiment) -> bool:
    return claims_stage(exp, "caffe", default_places(exp, "caffe")).is_complete


def judged(tables: Tables, **others: Tables) -> dict[str, dict]:
    return {row["claim"]: row for row in decide(tables, load(THESIS), **others)}


def exact(truth, seeds: int = 3, spread: float = 0.001, dataset: str = "tiny-imagenet", **curves: int) -> Tables:
    """A sweep whose runs are all but their true accuracies."""
    tables = sweep(np.random.RandomState(0), seeds, truth)
    random = np.random.RandomState(1)
    for row in tables.runs:
        row["accuracy"] = truth(row["size"], row["condition"]) + random.normal(0, spread)
        row["dataset"] = dataset
    return tables


def as_the_thesis_has_it(size: int, condition: str) -> float:
    """Accuracies for which C1 to C7, C10, C12, C13 and C16 hold."""
    scarce = np.log2(500 / size) + 1
    gain = {"S1T": 0.01, "S2T": 0.04, "S3T": 0.03, "S4T": -0.03, "S5T": 0.02, "S6T": -0.05, "S7T": -0.1}
    if condition == "FTall":
        return 0.6 - 0.06 * scarce + (0.0 if size == 500 else 0.004 * scarce)
    if condition == "S3T" and size > 300:
        return 0.6 - 0.06 * scarce + 0.005
    return 0.6 - 0.06 * scarce + gain.get(condition, 0.0) * scarce / 2


def test_claims_hold_where_the_runs_say_so_and_fail_where_they_say_the_contrary():
    rows = judged(exact(lambda size, name: as_the_thesis_has_it(size, name), spread=0.0001))
    assert {name: rows[name]["verdict"] for name in ("C1", "C3", "C4", "C5", "C12", "C13")} == dict.fromkeys(
        ("C1", "C3", "C4", "C5", "C12", "C13"), "holds"
    )
    turned = judged(exact(lambda size, name: 1 - as_the_thesis_has_it(size, name), spread=0.0001))
    assert {turned[name]["verdict"] for name in ("C1", "C3", "C4", "C5", "C12", "C13")} == {"fails"}


def test_a_conjunction_is_as_sure_as_its_weakest_comparison_and_says_which_that_is():
    def truth(size: int, condition: str) -> float:
        return 0.5 + (0.05 if condition == "S3T" and size != 200 else 0.0)

    row = judged(exact(truth))["C3"]
    assert row["verdict"] == "undecided"
    assert row["at"] == "S3T - S4T at 200" and abs(row["effect"]) < 0.01
    assert row["sizes"] == "500 400 300 200 100 50" and row["n"] == 2 * 6 * 2 * 3
    reversed_at_one = judged(exact(lambda size, name: truth(size, name) - (0.2 if (size, name) == (200, "S3T") else 0)))
    assert reversed_at_one["C3"]["verdict"] == "fails"


def test_not_at_500_leaves_a_margin_but_not_two_points():
    def truth(at_500: float):
        return lambda size, name: 0.5 + ((at_500 if size == 500 else 0.05) if name == "FTall" else 0)

    assert judged(exact(truth(0.0), spread=0.0002))["C7"]["verdict"] == "holds"
    assert judged(exact(truth(0.02), spread=0.0002))["C7"]["verdict"] == "fails"


def test_one_seed_decides_nothing_but_of_its_own_nets():
    tables = sweep(np.random.RandomState(0), 1, lambda size, name: 0.5 - 0.2 * (name == "S4T"), 2000)
    rows = judged(tables)
    assert {row["verdict"] for row in rows.values()} == {"undecided", "not applicable"}
    assert rows["C3"]["these_nets"] == "holds" and rows["C3"]["interval"] == "images"
    assert rows["C3"]["more_seeds"] == 2


def test_a_comparison_that_one_seed_alone_has_leaves_the_claim_undecided_and_is_named():
    tables = exact(as_the_thesis_has_it, spread=0.0001)
    for row in tables.runs:
        if (row["size"], row["condition"], row["direction"]) == (50, "S5T", "A2B") and row["seed"] > 0:
            row["status"] = "stuck"
    row = judged(tables)["C13"]
    assert (row["verdict"], row["note"]) == ("undecided", "one seed only has all runs of S5T - base at 50")
    seeds = {row["seed"] for row in tables.runs}
    assert (row["interval"], row["seeds"]) in {("seeds", len(seeds)), ("", 1)}


def test_more_seeds_are_more_for_a_smaller_effect_and_none_are_named_for_none():
    def rows(effect: float) -> dict:
        return judged(exact(lambda size, name: 0.5 + effect * (name == "S3T"), spread=0.01, seeds=4))["C3"]

    assert rows(0.02)["verdict"] == rows(0.01)["verdict"] == "undecided"
    assert 0 < rows(0.02)["more_seeds"] < rows(0.01)["more_seeds"]


def test_a_trend_needs_three_sizes_that_are_numbers():
    tables = exact(as_the_thesis_has_it)
    tables.__dict__["runs"] = [row | {"size": "all" if row["size"] == 500 else row["size"]} for row in tables.runs]
    assert judged(tables)["C12"]["at"].endswith("from 400 to 50")
    tables.__dict__["runs"] = [row for row in tables.runs if row["size"] in ("all", 100, 50)]
    assert judged(tables)["C12"]["note"] == "no runs of S1T and S2T and S3T and base at 3 sizes"
    assert judged(tables)["C1"]["sizes"] == "all 100 50"


def test_p_values_are_corrected_for_how_many_claims_were_tested():
    rows = [row for row in judged(exact(as_the_thesis_has_it)).values() if row.get("p") is not None]
    first = min(rows, key=lambda row: row["p"])
    assert first["p_corrected"] == pytest.approx(min(1, first["p"] * len(rows)), rel=1e-3)
    assert all(row["p_corrected"] >= row["p"] for row in rows)


def test_two_data_sets_with_the_same_pattern_agree_and_with_the_reverse_do_not():
    own = exact(as_the_thesis_has_it)
    assert "another data set" in judged(own)["C17"]["note"]
    same = judged(own, other=exact(as_the_thesis_has_it, dataset="miniplaces"))["C17"]
    assert (same["effect"], same["unit"]) == (1.0, "rho")
    turned = judged(own, other=exact(lambda s, c: 1 - as_the_thesis_has_it(s, c), dataset="miniplaces"))["C17"]
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
    row = judged(exact(null), prestudy=prestudy)["C11"]
    assert (row["verdict"], row["effect"], row["unit"]) == (verdict, best, "iterations")


def small_sweep() -> None:
    """Two seeds of the demo, both directions, three sizes, three conditions, with predictions."""
    for seed in (0, 1):
        for direction in ("A2B", "B2A"):
            for rank, size in enumerate((6000, 60, 10)):
                for condition, more in (("base", 0), ("S3T", 10), ("S4T", 4)):
                    key = f"{direction}/n{size:04d}/{condition}/seed{seed}"
                    right = 120 - 20 * rank + more + seed
                    finish(key, right / 200)
                    predict(key, np.arange(200) < right)
    summarize(demo(), "caffe")


def test_the_command_prints_a_line_a_claim_and_published_tables_give_the_same(capsys: pytest.CaptureFixture):
    small_sweep()
    main(["experiments/demo.yaml"])
    printed = capsys.readouterr().out.splitlines()
    assert [line.split()[0] for line in printed[:18]] == [f"C{n}" for n in range(1, 19)]
    assert printed[2].startswith("C3 holds: S3T - S4T at ")
    with open("results/demo/claims.csv", newline="") as file:
        rows = list(csv.DictReader(file))
    assert tuple(rows[0]) == tuple(CLAIM_COLUMNS)
    Path("results/demo").rename("elsewhere")
    main(["experiments/demo.yaml", "--from", "elsewhere"])
    assert capsys.readouterr().out.splitlines()[:18] == printed[:18]


def test_claims_are_judged_again_only_when_tables_or_claims_change(monkeypatch: pytest.MonkeyPatch):
    small_sweep()
    exp = demo()
    assert not is_complete(exp)
    assert claims(exp) and is_complete(exp) and not claims(exp)
    Path("results/demo/claims.csv").write_text("claim\n")
    assert not is_complete(exp)
    claims(exp)
    finish("A2B/n0060/S5T/seed0", 0.5)
    summarize(exp, "caffe")
    assert not is_complete(exp)


def test_a_folder_without_tables_is_refused():
    demo()
    with pytest.raises(UserError, match=r"results/demo/runs.csv: no such table; summarize the experiment first"):
        main(["experiments/demo.yaml"])
    small_sweep()
    with pytest.raises(UserError, match=r"nowhere: no runs.csv there; name a folder of tables"):
        main(["experiments/demo.yaml", "--other", "nowhere"])


def test_a_users_own_claim_is_judged(capsys: pytest.CaptureFixture):
    small_sweep()
    Path("mine.yaml").write_text(
        "margin: 0.01\nclaims:\n  M1:\n    says: S3T beats base\n"
        "    holds_if: [{kind: above, left: S3T, right: [base]}]\n"
    )
    main(["experiments/demo.yaml", "--claims", "mine.yaml"])
    assert capsys.readouterr().out.startswith("M1 holds: S3T - base at ")
    assert is_complete(demo())
    main(["experiments/demo.yaml", "--claims", str(THESIS)])
    assert capsys.readouterr().out.startswith("C1 ")


def test_the_intervals_cover_the_truth_as_often_as_they_say():
    """The quick version of `make reliability`: 300 sweeps; three standard errors of 0.95 are 0.038."""
    for share in coverage(np.random.RandomState(2), 4, 300).values():
        assert 0.95 - 0.038 <= share <= 0.95 + 0.038


def test_without_any_difference_claims_are_rarely_decided():
    found = verdicts(np.random.RandomState(3), 4, 40, null)
    assert false_decisions(found) <= 0.05 + 3 * np.sqrt(0.05 * 0.95 / 40)
