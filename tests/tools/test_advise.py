"""The verb advise: the condition to use with n images a class, between the measured sizes and never beyond."""

from pathlib import Path

import numpy as np
import pytest

from benchmarks.simulated_sweeps import sweep
from tests.helpers.finished_runs import demo
from tools.advise import advise, main, report
from tools.common.errors import UserError
from tools.common.files import write_atomic
from tools.results.columns import RUN_COLUMNS, csv_text, row_of
from tools.results.tables import Tables


def line(size: int, condition: str) -> float:
    """Along log2(size): base from 0.2 at 50 to 0.6 at 500; S3T from 0.4 to 0.5."""
    share = np.log2(size / 50) / np.log2(10)
    return {"base": 0.2 + 0.4 * share, "S3T": 0.4 + 0.1 * share, "FTall": 0.1}.get(condition, 0.05)


@pytest.fixture
def tables() -> Tables:
    """Three seeds, all but exact; A2B a point better than B2A."""
    found, random = sweep(np.random.RandomState(0), 3, line, sizes=(500, 50)), np.random.RandomState(1)
    for row in found.runs:
        row["accuracy"] = line(row["size"], row["condition"]) + random.normal(0, 0.002)
    return found


def test_between_two_sizes_accuracy_is_interpolated_along_the_logarithm(tables: Tables):
    found = advise(tables, 158)  # half way: log2(158 / 50) is half of log2(10)
    assert found.condition == "S3T" and found.accuracy == pytest.approx(0.45, abs=0.005)
    effect, low, high = found.gains["base"]
    assert effect == pytest.approx(0.05, abs=0.005) and low < effect < high
    assert found.gains["FTall"][0] == pytest.approx(0.35, abs=0.005)


def test_it_names_the_runs_behind_the_answer(tables: Tables):
    found = advise(tables, 120)
    wanted = [
        f"{d}/n{s:04d}/{c}/seed{k}"
        for d in ("A2B", "B2A")
        for s in (50, 500)
        for c in ("FTall", "S3T", "base")
        for k in range(3)
    ]
    assert [run.removeprefix("models/x/") for run in found.runs] == sorted(wanted)
    assert len(advise(tables, 500).runs) == 12


def test_where_base_is_the_best_it_is_advised_and_gains_nothing_over_itself(tables: Tables):
    found = advise(tables, 500)
    assert found.condition == "base" and set(found.gains) == {"FTall"}


def test_an_easy_split_that_one_condition_alone_was_measured_on_does_not_make_it_the_best(tables: Tables):
    more = [dict(row, seed=3, accuracy=0.9) for row in tables.runs if row["condition"] == "S1T" and row["seed"] == 0]
    tables.runs.extend(more)
    found = advise(tables, 158)
    assert (found.condition, found.seeds) == ("S3T", 3)


def test_a_condition_of_few_seeds_is_not_compared_and_costs_the_others_none(tables: Tables):
    tables.runs[:] = [row for row in tables.runs if row["condition"] != "S1T" or row["seed"] == 0]
    found = advise(tables, 158)
    assert (found.condition, found.seeds, found.unit) == ("S3T", 3, "seeds")


@pytest.mark.parametrize("n", [49, 501, 0, -3])
def test_it_does_not_extrapolate(tables: Tables, n: int):
    with pytest.raises(UserError, match=rf"{n} images a class: simulated has measured 50 to 500 images a class"):
        advise(tables, n)


def test_conditions_that_cannot_be_told_from_the_best_are_named(tables: Tables):
    for row in tables.runs:
        if row["condition"] == "S2T":
            row["accuracy"] = line(row["size"], "S3T") - 0.0005 * (1 + row["seed"])
    assert "S2T" in advise(tables, 120).others and "base" not in advise(tables, 60).others


def test_with_one_seed_it_says_how_little_that_is(tables: Tables):
    tables.__dict__["runs"] = [row for row in tables.runs if row["seed"] == 0]
    text = report(advise(tables, 120), 120, tables)
    assert "One seed: true of these nets" in text and "no interval" in text


def test_the_command_reads_tables_from_anywhere(tables: Tables, tmp_path: Path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    demo()
    write_atomic(Path("published/runs.csv"), csv_text(RUN_COLUMNS, [row_of(RUN_COLUMNS, **row) for row in tables.runs]))
    main(["experiments/demo.yaml", "120", "--from", "published"])
    assert capsys.readouterr().out.startswith("120 images a class (tiny-imagenet): S3T, accuracy 0.43")
    with pytest.raises(UserError, match=r"results/demo/runs.csv: no such table"):
        main(["experiments/demo.yaml", "120"])
