"""The verb claims: a verdict for each claim, from results/ or from published tables alone."""

import csv
from pathlib import Path

import numpy as np
import pytest

from benchmarks.simulated_sweeps import sweep
from tests.helpers.claim_verdicts import as_the_thesis_has_it, claim_rows, exact
from tests.helpers.finished_runs import demo, finish, predict
from tests.helpers.result_tables import write_tables
from tools.claims import claims, line, main
from tools.common.errors import UserError
from tools.planning.stages import claims_stage
from tools.protocol.experiment import Experiment
from tools.results.columns import CLAIM_COLUMNS, read_csv
from tools.stats.claim_places import default_places
from tools.stats.claims_file import THESIS
from tools.summarize import summarize

pytestmark = pytest.mark.usefixtures("root")


def is_complete(exp: Experiment) -> bool:
    return claims_stage(exp, "caffe", default_places(exp, "caffe")).is_complete


def test_one_seed_decides_nothing_but_of_its_own_nets():
    tables = sweep(np.random.RandomState(0), 1, lambda size, name: 0.5 - 0.2 * (name == "S4T"), 2000)
    rows = claim_rows(tables)
    assert {row["verdict"] for row in rows.values()} == {"undecided", "not applicable"}
    assert rows["C3"]["these_nets"] == "holds" and rows["C3"]["interval"] == "images"
    assert rows["C3"]["more_seeds"] is None
    assert "; how many more seeds: unknown, as one has no spread: a drop at n = 4" in line(rows["C3"])


def test_the_line_of_a_claim_says_that_more_seeds_is_the_least_number():
    row = {"claim": "C3", "verdict": "undecided", "text": "a drop", "unit": "accuracy", "at": "S3T - S4T at 1"}
    row |= {"effect": 0.01, "low": -0.01, "high": 0.03, "n": 8, "seeds": 2, "p": 0.2, "p_corrected": 0.4}
    for more, words in ((1, "at least 1 more seed"), (4, "at least 4 more seeds"), (None, "seeds: many more")):
        assert line(row | {"more_seeds": more}).endswith(f"corrected 0.4; {words}: a drop")


@pytest.mark.slow
def test_more_seeds_are_more_for_a_smaller_effect_and_none_are_named_for_none():
    def rows(effect: float) -> dict:
        return claim_rows(exact(lambda size, name: 0.5 + effect * (name == "S3T"), spread=0.01, seeds=4))["C3"]

    assert rows(0.02)["verdict"] == rows(0.01)["verdict"] == "undecided"
    assert 0 < rows(0.02)["more_seeds"] < rows(0.01)["more_seeds"]


def test_p_values_are_corrected_for_how_many_claims_were_tested():
    rows = [row for row in claim_rows(exact(as_the_thesis_has_it)).values() if row.get("p") is not None]
    first = min(rows, key=lambda row: row["p"])
    assert first["p_corrected"] == pytest.approx(min(1, first["p"] * len(rows)), rel=1e-3)
    assert all(row["p_corrected"] >= row["p"] for row in rows)


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


def test_each_file_of_claims_is_a_family_with_its_own_correction(capsys: pytest.CaptureFixture):
    small_sweep()
    for seed in (0, 1):
        for direction in ("A2B", "B2A"):
            for condition, accuracy in (("FTall", 0.8), ("base+", 0.7)):
                finish(f"{direction}/n0010/{condition}/seed{seed}", accuracy + 0.01 * seed)
    summarize(demo(), "caffe")
    claims(demo())
    alone = {row["claim"]: row for row in read_csv(Path("results/demo/claims.csv"))}
    main(["experiments/demo.yaml", "--set", "claims=[budget,thesis]"])
    both = read_csv(Path("results/demo/claims.csv"))
    assert [row["claims"] for row in both] == ["budget"] * 3 + ["thesis"] * 18
    assert [row["claim"] for row in both[:3]] == ["B1", "B2", "B3"]
    assert both[1]["at"] == "FTall - base+ at 10" and both[1]["effect"] == pytest.approx(0.1)
    assert {row["claim"]: row for row in both[3:]} == alone
    assert capsys.readouterr().out.startswith("B1 ")


def test_a_file_of_claims_that_is_not_there_is_refused_with_those_that_are():
    small_sweep()
    with pytest.raises(UserError, match=r"SET: claims: own; a file of experiments/claims/, .*: budget, demo, thesis"):
        claims(demo("claims=[own]"))


@pytest.mark.slow
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


def test_tables_of_another_data_set_are_refused_and_the_experiments_own_verdicts_stay():
    small_sweep()
    claims(demo())
    verdicts = Path("results/demo/claims.csv").read_bytes()
    write_tables(Path("tiny"), 2, ["base", "S3T", "S4T", "S5T"], [500, 50])
    refused = r"tiny/runs.csv: its runs are of tiny-imagenet, and experiments/demo.yaml is about fashion-mnist; name"
    for given in ("--from", "--prestudy"):
        with pytest.raises(UserError, match=refused):
            main(["experiments/demo.yaml", given, "tiny"])
    assert Path("results/demo/claims.csv").read_bytes() == verdicts and is_complete(demo())
    main(["experiments/demo.yaml", "--other", "tiny"])
    c17 = read_csv(Path("results/demo/claims.csv"))[16]
    assert c17["note"] == "3 conditions in both results; a rank correlation needs 4"


@pytest.mark.slow
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
