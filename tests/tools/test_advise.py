"""The verb advise: the condition to use with n images a class, between the measured sizes and never beyond; and the
images a class that an accuracy takes."""

import math
import sys
from pathlib import Path

import numpy as np
import pytest

from benchmarks.simulated_sweeps import sweep
from tests.helpers.finished_runs import demo
from tools.__main__ import main as run_verb
from tools.advise import _more, advise, main, report, target_report
from tools.common.checkout import CHECKOUT
from tools.common.errors import UserError
from tools.common.files import write_atomic
from tools.results.columns import RUN_COLUMNS, csv_text, row_of, run_key, with_columns
from tools.results.tables import Tables
from tools.stats.images_needed import images_needed


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
    assert (found.condition, found.seeds) == ("S3T", [0, 1, 2])
    assert "  from 36 runs, 3 seeds; seed 3 left out, as it lacks runs:" in report(found, 158, tables).splitlines()


@pytest.mark.parametrize(
    ("seeds", "has", "compared", "left_out"),
    [
        (2, {"S1T": [1], "S2T": [1]}, [0, 1], {"S1T": 1, "S2T": 1}),  # as the selffers of tiny-40
        (10, {"FTall": range(4)}, range(10), {"FTall": 4}),
        (10, {"FTall": range(9), "S1T": range(1, 10)}, range(1, 9), {}),  # each lacks a run
        (10, {"FTall": [], "S1T": range(5)}, range(10), {"FTall": 0, "S1T": 5}),
    ],
)
def test_a_condition_of_few_seeds_costs_the_others_none_and_is_named(seeds: int, has: dict, compared, left_out: dict):
    tables = sweep(np.random.RandomState(0), seeds, line, sizes=(500, 50))
    for row in tables.runs:
        if row["seed"] not in has.get(row["condition"], range(seeds)):
            row["status"] = "failed"
    found = advise(tables, 158)
    assert (found.seeds, found.unit, found.not_compared) == (list(compared), "seeds", left_out)
    text = report(found, 158, tables)
    for condition, count in left_out.items():
        line_of = next(line for line in text.splitlines() if line.endswith(f"({count} of {seeds} seeds)"))
        assert "not compared, as with it at most half of the seeds would remain: " in line_of and condition in line_of
    assert (" seeds; seed 0, 9 left out, as it lacks runs:" in text) == (len(compared) == 8)


def test_conditions_that_share_no_seed_are_not_both_compared():
    tables = sweep(np.random.RandomState(0), 10, line, sizes=(500,), conditions=("base", "S1T", "S2T"))
    tables.runs[:] = [
        r for r in tables.runs if r["condition"] == "base" or (r["seed"] < 5) == (r["condition"] == "S1T")
    ]
    found = advise(tables, 500)
    assert (found.seeds, found.not_compared) == ([0, 1, 2, 3, 4], {"S2T": 5})


def test_a_seed_that_lacks_a_direction_of_a_condition_is_none_of_its_seeds(tables: Tables):
    tables.runs[:] = [r for r in tables.runs if r["seed"] < 2]
    next(r for r in tables.runs if (r["condition"], r["direction"]) == ("S1T", "B2A"))["status"] = "stuck"
    assert (advise(tables, 158).seeds, advise(tables, 158).not_compared) == ([0, 1], {"S1T": 1})


def test_a_direction_that_was_only_begun_is_left_out(tables: Tables):
    tables.runs[:] = [r for r in tables.runs if r["direction"] == "A2B" or (r["condition"], r["seed"]) == ("S1T", 0)]
    base = [dict(r, direction="B2A") for r in tables.runs if r["condition"] == "base"]  # the source nets
    tables.runs.extend(base)
    found = advise(tables, 158)
    assert found.seeds == [0, 1, 2] and not found.not_compared and not any("B2A" in run for run in found.runs)
    assert "; B2A left out, as less than two seeds have all runs of both directions:" in report(found, 158, tables)


def test_two_seeds_with_both_directions_count_more_than_more_seeds_with_one():
    tables = sweep(np.random.RandomState(0), 4, line, sizes=(500, 50))
    tables.runs[:] = [r for r in tables.runs if r["condition"] == "base" or r["direction"] == "A2B" or r["seed"] < 2]
    found = advise(tables, 158)
    assert (found.seeds, found.directions) == ([0, 1], ["A2B", "B2A"])


def test_without_a_seed_that_has_base_and_another_condition_there_is_no_advice(tables: Tables):
    tables.runs[:] = [r for r in tables.runs if r["condition"] in ("base", {500: "S1T", 50: "S2T"}[r["size"]])]
    with pytest.raises(UserError, match="no seed has all runs of base and another condition at 50 and 500 images a"):
        advise(tables, 158)


@pytest.mark.parametrize("n", [49, 501, 0, -3])
def test_it_does_not_extrapolate(tables: Tables, n: int):
    at = "simulated has measured base and another condition at 50 to 500 images a class"
    with pytest.raises(UserError, match=rf"{n} images a class: {at}"):
        advise(tables, n)


def test_sizes_that_base_alone_has_are_none_of_the_range():
    tables = Tables(CHECKOUT / "docs/results/demo")  # base at 6000 is the source net
    for n in (0, 120, 6000):
        with pytest.raises(UserError, match=rf"^{n} images .* base and another condition at 1 to 60 images a class"):
            advise(tables, n)
    between = sweep(np.random.RandomState(0), 2, line, sizes=(500, 100, 50))
    between.runs[:] = [row for row in between.runs if row["size"] != 100 or row["condition"] == "base"]
    assert "interpolated between 50 and 500 " in report(advise(between, 120), 120, between)


def test_conditions_that_cannot_be_told_from_the_best_are_named(tables: Tables):
    for row in tables.runs:
        if row["condition"] == "S2T":
            row["accuracy"] = line(row["size"], "S3T") - 0.0005 * (1 + row["seed"])
    assert "S2T" in advise(tables, 120).others and "base" not in advise(tables, 60).others


def test_every_other_condition_has_its_cost_with_an_interval_the_least_first(tables: Tables):
    found = advise(tables, 158)
    assert set(found.costs) == {"base", "FTall", *(f"S{n}T" for n in (1, 2, 4, 5, 6, 7))}
    assert next(iter(found.costs)) == "base" and found.costs["base"] == found.gains["base"]
    effect, low, high = found.costs["S7T"]
    assert effect == pytest.approx(0.4, abs=0.005) and low < effect < high
    lines = report(found, 158, tables).splitlines()
    assert lines[1].startswith("  gain over base: +") and lines[2].startswith("  gain over FTall: +35.")
    assert lines[3] == "  what another choice would cost, in points of accuracy:"
    assert [line.split()[0] for line in lines[4:12]] == list(found.costs)
    assert lines[4].split() == ["base", f"{100 * found.costs['base'][0]:.1f}", *bracketed(*found.costs["base"][1:])]
    assert lines[12].startswith("  budget: base+ ") and "was not run" in lines[12]


def bracketed(low: float, high: float) -> list[str]:
    return [f"[{100 * low:.1f},", f"{100 * high:.1f}]"]


def test_with_one_seed_it_says_how_little_that_is(tables: Tables):
    tables.__dict__["runs"] = [row for row in tables.runs if row["seed"] == 0]
    text = report(advise(tables, 120), 120, tables)
    assert "One seed: true of these nets" in text and "no interval" in text


def test_the_command_reads_tables_from_anywhere(tables: Tables, tmp_path: Path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    demo()
    rows = [row_of(RUN_COLUMNS, **row | {"dataset": "fashion-mnist"}) for row in tables.runs]
    write_atomic(Path("published/runs.csv"), csv_text(RUN_COLUMNS, rows))
    main(["experiments/demo.yaml", "120", "--from", "published"])
    out = capsys.readouterr().out
    assert out.startswith("120 images a class (fashion-mnist): S3T, accuracy 0.43")
    assert "  no curves.csv in published, so it is unknown whether nets were still learning at their end" in out
    with pytest.raises(UserError, match=r"results/demo/runs.csv: no such table"):
        main(["experiments/demo.yaml", "120"])


def test_it_warns_where_nets_were_still_learning_or_past_their_best(tables: Tables):
    def loss(condition: str, size: int, at: int) -> float:
        if condition == "base":
            return 2 - at / 1000
        return 1 + (at / 1000 - 0.5) ** 2 if (condition, size) == ("S3T", 50) else 1.0

    tables.curves[:] = [
        {"run": run_key(row), "iteration": at, "validation_loss": loss(row["condition"], row["size"], at)}
        for row in tables.runs
        for at in range(0, 1001, 100)
    ]
    text = report(advise(tables, 120), 120, tables)
    assert "  still learning when training ended, so another length may change the answer: base at 50, 500\n" in text
    assert "  past their best when training ended, so another length may change the answer: S3T at 50\n" in text
    three = measured(("base", "S3T"), (500, 200, 50))
    three.curves[:] = tables.curves
    notes = "\n".join(target_lines(three, 0.45))
    assert "  still learning when training ended, so another length may change the answer: base at 50, 500\n" in notes


# advise --target


def curve(size: float, condition: str) -> float:
    """S3T needs half of base's images, base+ three quarters, FTall the same as base; S7T is bent."""
    less = {"S3T": 2, "base+": 4 / 3}.get(condition, 1)
    return 1 - (0.35 + 2.6 * (size * less) ** -0.5) - (0.1 if (size, condition) == (500, "S7T") else 0)


def measured(conditions: tuple[str, ...], sizes: tuple[int, ...] = (500, 300, 200, 100, 50), seeds: int = 3) -> Tables:
    found, random = sweep(np.random.RandomState(0), seeds, curve, 0, sizes, conditions), np.random.RandomState(1)
    for row in found.runs:
        row["accuracy"] = curve(row["size"], row["condition"]) + random.normal(0, 0.001)
    return found


def target_lines(tables: Tables, target: float) -> list[str]:
    return target_report(images_needed(tables, target), target, tables).splitlines()


def test_a_target_is_answered_in_one_sentence_a_table_and_notes():
    first, _, header, *lines = target_lines(measured(("base", "S3T", "S7T")), curve(160, "base"))
    assert first.startswith("To reach an accuracy of 0.444452, S3T needs about 8")
    assert "a class (95 % interval: " in first and first.endswith(
        "), the least of the 2 conditions with an answer. No answer for S7T (see below), which may need fewer."
    )
    assert (
        "  ".join(header.split())
        == "condition  images  a  class  95  %  interval  exponential  more  than  S3T  foretelling  error"
    )
    table, notes = lines[: lines.index("")], "\n".join(lines[lines.index("") :])
    assert [line.split()[0] for line in table] == ["S3T", "base"] and "[" not in table[0]
    assert int(table[1].split()[1]) == pytest.approx(160, abs=8) and "[+" in table[1]
    assert "  no answer for S7T: its accuracy falls from 0.49" in notes and " at 500 images a class" in notes
    assert "fitted to the mean errors at 50, 100, 200, 300, 500 images a class of tiny-imagenet" in notes
    assert notes.splitlines()[-3:] == [
        "  from seed 0, 1, 2, A2B and B2A",
        "  [ ]: 95 % interval, corrected for the number of conditions",
        "  The intervals are over the 3 seeds, and cover both curves.",
    ]
    assert "c is held" not in notes and "extrapolated" not in notes


def test_three_sizes_hold_c_and_a_size_that_is_left_out_is_named():
    tables = measured(("base", "S3T"), (500, 200, 50))
    tables.runs.append(tables.runs[0] | {"size": "all"})
    text = "\n".join(target_lines(tables, 0.45))
    assert "three sizes do not determine the curve, so c is held at 0.5: S3T, base" in text
    assert "left out, as no number of images or in less than half of the seeds and directions: base at all" in text


@pytest.mark.parametrize(
    ("images", "words"),
    [
        (30, " By its curve the smallest size, 50 a class, is more than enough; a number below it is extrapolated."),
        (1500, " Measured are 50 to 500, so this is extrapolated."),
    ],
)
def test_a_number_outside_the_measured_sizes_is_said_to_be_extrapolated(images: int, words: str):
    first, *lines = target_lines(measured(("base", "S3T")), curve(images, "base"))
    assert first.endswith(words)
    assert "* outside the measured sizes, so extrapolated: S3T, base" in "\n".join(lines)
    assert sum("*" in line.split()[1] for line in lines[2:4]) == 2


def test_a_target_that_no_condition_reaches_is_said_to_be_so():
    first, _, header, *lines = target_lines(measured(("base", "S3T")), 0.9)
    assert first.startswith(
        "By its fitted curve, no condition reaches an accuracy of 0.9 within 5,000 images a class, "
    )
    assert first.endswith("10 times the largest size.")
    assert "more than" not in header and "over 5,000*" in lines[0]


@pytest.mark.parametrize(("refused", "words"), [((), " needs the fewest images: about "), (("S3T",), " needs about ")])
def test_a_winner_is_named_only_where_every_condition_was_answered(refused: tuple[str, ...], words: str):
    tables = measured(("base", "FTall", "S3T"))
    tables.runs[:] = [row for row in tables.runs if row["condition"] not in refused or row["size"] in (500, 50)]
    first, *_ = target_lines(tables, curve(160, "base"))
    assert words in first and ("No answer for S3T (see below), which may need fewer." in first) == bool(refused)
    far, *_ = target_lines(tables, 0.9)
    assert ("no condition reaches" in far) != bool(refused)
    assert far.endswith(
        "base, FTall do not reach an accuracy of 0.9 within 5,000 images a class, 10 times the largest "
        "size. No answer for S3T (see below), which may reach it."
    ) == bool(refused)


def test_one_answered_condition_is_no_winner_over_those_without_an_answer():
    demo_tables = Tables(CHECKOUT / "docs/results/demo")
    first, *_ = target_lines(demo_tables, 0.7)
    assert first.startswith(
        "To reach an accuracy of 0.7, base needs about 14 images a class (95 % interval: 2 to 43). "
    )
    assert first.endswith("No answer for FTall, S1T, S2T, S3T, S4T, S5T, S6T, S7T (see below), which may need fewer.")
    assert "curve, base does not reach an accuracy of 0.85 within 60,000" in target_lines(demo_tables, 0.85)[0]


def test_a_number_below_one_image_is_not_shown_as_one():
    first, _, _, row, *_ = target_lines(Tables(CHECKOUT / "docs/results/demo"), 0.45)
    assert first.startswith(
        "To reach an accuracy of 0.45, base needs under 1 image a class (95 % interval: under 1 to 1). "
        "By its curve the smallest size, 1 a class, is more than enough; a number below it is extrapolated. "
    )
    assert row.split()[:3] == ["base", "under", "1*"]


def test_the_matched_budget_is_named_beside_a_transferred_condition_or_its_absence():
    target = curve(160, "base")
    with_it = next(line for line in target_lines(measured(("base", "base+", "S3T")), target) if "budget:" in line)
    assert with_it.endswith("images a class") and " compared with S3T: +4" in with_it and "[+" in with_it
    without = next(line for line in target_lines(measured(("base", "S3T")), target) if "budget:" in line)
    assert "base+" in without and "was not run, so longer training may explain a lead over base" in without
    bent = measured(("base", "base+", "FTall", "S3T"))
    for row in bent.runs:
        row["accuracy"] -= 0.2 if (row["condition"], row["size"]) == ("base+", 500) else 0
    refused = next(line for line in target_lines(bent, target) if "budget:" in line)
    assert refused.endswith("has no answer, so FTall cannot be compared with it")
    assert not any("budget" in line for line in target_lines(measured(("base", "base+")), target))


def test_a_difference_without_a_lower_limit_says_so_as_no_limit_reads_as_an_upper_one():
    assert _more((41.2, -math.inf, 110.0)) == "+41 [no lower limit, +110]"
    assert _more((41.2, 18.0, math.inf)) == "+41 [+18, no limit]"
    text = "\n".join(target_lines(Tables(CHECKOUT / "docs/results/tiny-40"), 0.42))
    assert "  over ..., no limit, no lower limit: not within 10 times the largest size, or never" in text


def test_with_one_seed_a_target_has_no_interval_or_one_that_it_warns_of():
    tables = measured(("base", "S3T"), seeds=1)
    for row in tables.runs:
        row["accuracy"] = curve(row["size"], row["condition"])
    text = "\n".join(target_lines(tables, curve(160, "base")))
    assert "about 80 a class (no interval).\n" in text and "[" not in text
    assert "One seed and no predictions: no interval can be given. Run more seeds." in text
    published = Tables(CHECKOUT / "docs/results/tiny-small")
    assert "They do not cover another split, draw or start" in "\n".join(target_lines(published, 0.17))


@pytest.mark.filterwarnings("error")
def test_the_command_ends_with_0_while_a_condition_is_answered_and_else_not(tmp_path: Path, monkeypatch, capsys):
    monkeypatch.chdir(CHECKOUT)
    command = ["python -m tools", "advise", "experiments/tiny-small.yaml", "--target", "0.17", "--from"]
    monkeypatch.setattr(sys, "argv", [*command, "docs/results/tiny-small"])
    assert run_verb() == 0
    done = capsys.readouterr()
    assert done.err == ""
    assert done.out.startswith("To reach an accuracy of 0.17, FTall needs about ")
    assert "no answer for S1T: its accuracy falls from 0.1764 at 200 to 0.1671 at 300 images a class" in done.out
    rows = [row for row in Tables(CHECKOUT / "docs/results/tiny-small").runs if row["size"] in (50, 500)]
    write_atomic(tmp_path / "runs.csv", csv_text(RUN_COLUMNS, with_columns(RUN_COLUMNS, rows)))
    monkeypatch.setattr(sys, "argv", [*command, str(tmp_path)])
    assert run_verb() == 2
    refused = capsys.readouterr()
    assert refused.out == "" and "  base: measured at 50 and 500 images a class; a curve needs three" in refused.err


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "give either a number of images a class, as 120, or an accuracy to reach, as --target 0.45"),
        (["120", "--target", "0.5"], "give either"),
        (["--target", "45"], "--target 45: an accuracy is a share between 0 and 1, as 0.45"),
        (["--target", "nan"], "--target nan: an accuracy"),
    ],
)
def test_what_is_no_question_is_refused(arguments: list[str], message: str, capsys):
    with pytest.raises(SystemExit) as ended:
        main(["experiments/demo.yaml", *arguments])
    assert ended.value.code == 2 and message in capsys.readouterr().err
