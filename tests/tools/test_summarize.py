"""The verb summarize: runs on disk in, runs.csv and summary.csv out."""

import csv
import json
import math
import shutil
from pathlib import Path

import numpy as np
import pytest

from tests.helpers.finished_runs import demo, fail, finish, predict, run_of, whole_sweep
from tools import __main__ as command_line
from tools.common.errors import UserError
from tools.common.files import load_json, lock, write_json
from tools.planning.stages import summarize_stage
from tools.protocol.runs import find_run
from tools.results.columns import engine_name
from tools.results.ended_runs import runs_on_disk
from tools.summarize import main, put_back_manifests, summarize

HEADER = (
    "dataset,direction,size,condition,seed,accuracy,best_accuracy,best_iter,loss,iters,seconds,images_per_s,engine,status,"
    "attempts,resumed_at,run"
)

pytestmark = pytest.mark.usefixtures("root")


def table(name: str, experiment: str = "demo") -> list[dict[str, str]]:
    with open(f"results/{experiment}/{name}.csv", newline="") as file:
        return list(csv.DictReader(file))


def cell(size: str, condition: str) -> dict[str, str]:
    (found,) = (row for row in table("summary") if (row["size"], row["condition"]) == (size, condition))
    return found


def test_a_finished_run_is_one_row_with_the_figures_of_its_manifest():
    finish("A2B/n0060/S3T/seed0", 0.71)
    assert summarize(demo(), "caffe") is True
    lines = Path("results/demo/runs.csv").read_text().splitlines()
    assert lines[0] == HEADER
    assert lines[1:] == [
        "fashion-mnist,A2B,60,S3T,0,0.71,0.72,200,0.5,300,12.5,1600.0,caffe,ok,1,,models/demo/A2B/n0060/S3T/seed0"
    ]


def test_rows_go_by_size_condition_direction_and_seed():
    keys = ["A2B/n0060/FTall/seed1", "A2B/n0060/FTall/seed0", "B2A/n0060/FTall/seed0", "A2B/n0060/S10T/seed0"]
    keys += ["A2B/n0060/S2T/seed0", "A2B/n0060/base/seed0", "B2A/n6000/S7T/seed0", "A2B/n10000/base/seed0"]
    for key in keys:
        finish(key, 0.5)
    summarize(demo(), "caffe")
    assert [row["run"].removeprefix("models/demo/") for row in table("runs")] == [
        "A2B/n10000/base/seed0",
        "B2A/n6000/S7T/seed0",
        "A2B/n0060/base/seed0",
        "A2B/n0060/FTall/seed0",
        "A2B/n0060/FTall/seed1",
        "B2A/n0060/FTall/seed0",
        "A2B/n0060/S2T/seed0",
        "A2B/n0060/S10T/seed0",
    ]


def test_the_mean_is_over_directions_and_seeds_with_the_sample_standard_deviation():
    for key, accuracy in {"A2B/{}0": 0.60, "A2B/{}1": 0.62, "B2A/{}0": 0.70, "B2A/{}1": 0.72}.items():
        finish(key.format("n0060/S2T/seed"), accuracy, loss=accuracy * 2, best_iter=round(accuracy * 1000))
    summarize(demo(), "caffe")
    found = cell("60", "S2T")
    assert found["n"] == "4" and found["excluded"] == "0"
    assert float(found["accuracy"]) == pytest.approx(0.66, abs=1e-6)
    assert float(found["sd"]) == pytest.approx(math.sqrt((0.06**2 + 0.04**2 + 0.04**2 + 0.06**2) / 3), abs=1e-6)
    assert float(found["best_accuracy"]) == pytest.approx(0.67, abs=1e-6)
    assert float(found["loss"]) == pytest.approx(1.32, abs=1e-6)
    assert float(found["best_iter"]) == pytest.approx(660)


def test_a_single_run_has_no_standard_deviation():
    finish("A2B/n0060/S2T/seed0", 0.6)
    summarize(demo(), "caffe")
    assert (cell("60", "S2T")["accuracy"], cell("60", "S2T")["sd"], cell("60", "S2T")["n"]) == ("0.6", "", "1")


def test_the_interval_is_students_t_over_the_seeds_means_of_both_directions():
    for key, accuracy in {"A2B/{}0": 0.60, "A2B/{}1": 0.62, "A2B/{}2": 0.65, "B2A/{}0": 0.70, "B2A/{}1": 0.74}.items():
        finish(key.format("n0060/S2T/seed"), accuracy)
    finish("B2A/n0060/S2T/seed2", 0.2, "stuck")
    summarize(demo(), "caffe")
    found = cell("60", "S2T")
    # Seeds 0 and 1: 0.65 and 0.68; seed 2 has no second direction. t(0.975, 1) = 12.7062.
    half = 12.7062 * 0.03 / math.sqrt(2) / math.sqrt(2)
    assert (found["seeds"], found["interval"], found["n"], found["excluded"]) == ("2", "seeds", "4", "2")
    assert float(found["accuracy"]) == pytest.approx(0.665), "the mean of what its interval is of"
    assert float(found["low"]) == pytest.approx(0.665 - half, abs=1e-4)
    assert float(found["high"]) == pytest.approx(0.665 + half, abs=1e-4)


def test_one_seed_has_wilsons_interval_of_its_validation_images():
    for key in ("A2B/n0060/S2T/seed0", "B2A/n0060/S2T/seed0"):
        finish(key, 0.6)
        predict(key, np.arange(50) < 30)
    summarize(demo(), "caffe")
    found = cell("60", "S2T")
    # 60 of 100 right: Wilson's centre is (0.6 + z^2 / 200) / (1 + z^2 / 100), z = 1.95996.
    assert (found["seeds"], found["interval"]) == ("1", "images")
    assert (float(found["low"]), float(found["high"])) == pytest.approx((0.502003, 0.690600), abs=1e-5)


def test_curves_have_a_row_an_iteration_and_are_blank_where_it_was_not_tested_or_not_displayed():
    finish("A2B/n0060/S2T/seed0", 0.6)
    summarize(demo(), "caffe")
    rows = table("curves")
    assert {row["run"] for row in rows} == {"A2B/n0060/S2T/seed0"}
    assert [int(row["iteration"]) for row in rows] == list(range(0, 301, 20))
    assert [list(row.values())[2:] for row in rows[:2]] == [["0.2", "1.6", "1.6"], ["", "", "1.5"]]
    assert list(rows[-1].values())[2:] == ["0.6", "0.5", "0.1"]


def test_the_predictions_of_all_runs_lie_in_one_file_by_key():
    for key, share in (("A2B/n0060/S2T/seed0", 30), ("A2B/n0060/S3T/seed0", 40), ("B2A/n0060/S3T/seed1", 10)):
        finish(key, share / 50)
        predict(key, np.arange(50) < share)
    finish("A2B/n0010/S2T/seed0", 0.6)
    summarize(demo(), "caffe")
    with np.load("results/demo/predictions.npz") as found:
        keys = ["A2B/n0060/S2T/seed0", "A2B/n0060/S3T/seed0", "B2A/n0060/S3T/seed1"]
        assert set(found) == {*keys, "label/A2B/seed0", "label/B2A/seed1"}
        assert (found[keys[1]] == found["label/A2B/seed0"]).sum() == 40


def test_runs_scored_on_different_images_are_not_put_together():
    for key, images in (("A2B/n0060/S2T/seed0", 50), ("A2B/n0060/S3T/seed0", 60)):
        finish(key, 0.6)
        predict(key, np.arange(images) < 30)
    with pytest.raises(UserError, match=r"S3T/seed0/predictions\.npz: scored on other images"):
        summarize(demo(), "caffe")


@pytest.mark.parametrize("status", ["stuck", "diverged"])
def test_a_flagged_run_keeps_its_row_and_stays_out_of_the_mean(status: str):
    for key, accuracy in (("A2B/n0060/S2T/seed0", 0.9), ("A2B/n0060/S2T/seed1", 0.5), ("B2A/n0060/S2T/seed1", 0.7)):
        finish(key, accuracy)
    finish("B2A/n0060/S2T/seed0", 0.2, status, loss=math.nan)
    summarize(demo(), "caffe")
    assert [row["status"] for row in table("runs")] == ["ok", "ok", status, "ok"]
    assert table("runs")[2]["loss"] == "nan"
    assert [cell("60", "S2T")[name] for name in ("accuracy", "n", "excluded", "loss")] == ["0.6", "2", "2", "0.5"]


def test_a_failed_run_has_a_row_of_blank_figures_and_counts_as_excluded():
    fail("B2A/n0060/S2T/seed0", attempts=3)
    finish("A2B/n0060/S3T/seed0", 0.6)
    summarize(demo(), "caffe")
    assert table("runs")[0] == {
        **dict.fromkeys(HEADER.split(","), ""),
        **{"dataset": "fashion-mnist", "direction": "B2A", "size": "60", "condition": "S2T", "seed": "0"},
        **{"engine": "caffe", "status": "failed", "attempts": "3", "run": "models/demo/B2A/n0060/S2T/seed0"},
    }
    assert [cell("60", "S2T")[name] for name in ("accuracy", "sd", "n", "excluded")] == ["", "", "0", "1"]


def test_where_a_run_went_on_from_a_snapshot_is_in_its_row():
    for key, resumed_at in (("A2B/n0060/S2T/seed0", [100, 200]), ("B2A/n0060/S2T/seed0", [])):
        manifest = finish(key, 0.6).manifest
        write_json(manifest, load_json(manifest) | {"attempts": 4, "resumed_at": resumed_at})
    finish("A2B/n0060/S3T/seed0", 0.6)  # a manifest of an older version
    summarize(demo(), "caffe")
    assert [row["resumed_at"] for row in table("runs")] == ["100 200", "", ""]


def test_a_run_that_was_made_again_after_a_failure_counts():
    fail("A2B/n0060/S2T/seed0")
    finish("A2B/n0060/S2T/seed0", 0.6)
    summarize(demo(), "caffe")
    assert [row["status"] for row in table("runs")] == ["ok"]


def test_an_override_that_selects_loses_no_row():
    whole_sweep()
    summarize(demo("sizes=[60] conditions=[base,S2T] directions=[A2B]"), "caffe")
    assert len(table("runs")) == 54
    assert len(table("summary")) == 27


def test_an_override_that_changes_results_has_tables_of_its_own():
    finish("A2B/n0060/S2T/seed0", 0.6)
    finish("A2B/n0060/S2T/seed0", 0.4, experiment="demo+max_iter=20")
    summarize(demo("max_iter=20"), "caffe")
    assert [row["accuracy"] for row in table("runs", "demo+max_iter=20")] == ["0.4"]
    assert not Path("results/demo").exists()


def test_a_copied_folder_an_unfinished_and_a_withdrawn_run_do_not_count():
    kept = finish("A2B/n0060/S2T/seed0", 0.6)
    shutil.copytree(kept.folder, kept.folder.with_name("seed0.bak"))
    shutil.copytree(kept.folder, kept.folder.parents[1] / "notes" / "seed0")
    withdrawn = finish("A2B/n0060/S3T/seed0", 0.6)
    withdrawn.manifest.rename(withdrawn.folder / "manifest.withdrawn.json")
    cut = finish("A2B/n0060/S4T/seed0", 0.6)
    cut.manifest.write_text(cut.manifest.read_text()[:40])
    summarize(demo(), "caffe")
    assert [row["condition"] for row in table("runs")] == ["S2T"]
    assert runs_on_disk("demo") == [run_of(f"A2B/n0060/S{n}T/seed0") for n in (2, 3, 4)]


def test_the_source_nets_of_mean_source_stand_last():
    for condition in ("source", "S7T", "base"):
        finish(f"B2A/n6000/{condition}/seed0", 0.8, experiment="demo+mean=source")
    summarize(demo("mean=source"), "caffe")
    assert [row["condition"] for row in table("runs", "demo+mean=source")] == ["base", "S7T", "source"]


def test_a_second_call_changes_nothing_until_a_run_changes_appears_or_goes():
    exp, run = demo(), finish("A2B/n0060/S2T/seed0", 0.6)
    assert not summarize_stage(exp, "caffe").is_complete
    summarize(exp, "caffe")
    before = Path("results/demo/runs.csv").stat().st_mtime_ns
    assert summarize_stage(exp, "caffe").is_complete and summarize(exp, "caffe") is False
    assert Path("results/demo/runs.csv").stat().st_mtime_ns == before

    finish("A2B/n0060/S2T/seed0", 0.61)
    assert not summarize_stage(exp, "caffe").is_complete
    summarize(exp, "caffe")
    other = fail("A2B/n0060/S3T/seed0")
    assert not summarize_stage(exp, "caffe").is_complete
    summarize(exp, "caffe")
    assert summarize_stage(exp, "caffe").is_complete
    shutil.rmtree(other.folder)
    assert not summarize_stage(exp, "caffe").is_complete
    summarize(exp, "caffe")
    run.manifest.unlink()
    assert not summarize_stage(exp, "caffe").is_complete


@pytest.mark.parametrize("name", ["runs.csv", "summary.csv", "curves.csv", "predictions.npz"])
def test_a_table_that_was_edited_or_removed_is_written_again(name: str):
    exp, path = demo(), Path("results/demo") / name
    finish("A2B/n0060/S2T/seed0", 0.6)
    summarize(exp, "caffe")
    right = path.read_bytes()
    path.write_bytes(right[:-9] + b"5" * 9)
    assert not summarize_stage(exp, "caffe").is_complete
    summarize(exp, "caffe")
    assert path.read_bytes() == right
    path.unlink()
    assert not summarize_stage(exp, "caffe").is_complete


def test_without_a_run_it_says_what_to_do_first():
    with pytest.raises(
        UserError, match=r"models/demo: no run has ended yet; run `python -m tools sweep experiments/demo"
    ):
        summarize(demo(), "caffe")


def test_the_command_prints_the_table_and_the_flagged_runs_without_any_engine(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture
):
    monkeypatch.setenv("PATH", "")
    demo()
    finish("A2B/n6000/base/seed0", 0.9)
    finish("B2A/n6000/base/seed0", 0.8)
    finish("A2B/n0060/S2T/seed0", 0.7)
    finish("B2A/n0060/S2T/seed0", 0.2, "stuck")
    main(["experiments/demo.yaml"])
    printed = [line.split() for line in capsys.readouterr().out.splitlines()]
    assert printed[:4] == [
        ["images", "a", "class", "base", "S2T"],
        ["6000", "0.8500", "-"],
        ["sd", "0.0707", "-"],
        ["60", "-", "-"],
    ]
    assert ["models/demo/B2A/n0060/S2T/seed0/", "stuck:"] in [line[:2] for line in printed]
    assert printed[-2] == ["60", "S2T:", "no", "mean;", "with", "them", "0.4500", "(2", "runs)"]


def test_runs_that_wait_for_the_rest_of_their_seed_are_told(capsys: pytest.CaptureFixture):
    demo()
    for key in ("A2B/n0060/base/seed0", "B2A/n0060/base/seed0", "A2B/n0060/S2T/seed0", "B2A/n0060/S2T/seed0"):
        finish(key, 0.6)
    main(["experiments/demo.yaml"])
    assert "other direction" not in capsys.readouterr().out
    for key in ("A2B/n0060/base/seed1", "A2B/n0060/S2T/seed1", "B2A/n0060/S2T/seed2"):
        finish(key, 0.9)
    main(["experiments/demo.yaml"])
    line = (
        "Left out of the means, for the run of the other direction is missing or flagged: 2 runs of seed 1, 1 of seed 2"
    )
    assert line in capsys.readouterr().out.splitlines()


def test_classes_that_are_left_out_for_want_of_their_ids_are_told(capsys: pytest.CaptureFixture):
    demo()
    finish("A2B/n0060/base/seed0", 0.6)
    predict("A2B/n0060/base/seed0", np.arange(50) < 30)
    main(["experiments/demo.yaml"])
    said = "results/demo/classes.csv: empty, for the class ids are in data/fashion-mnist/split0/split.json: not there"
    assert said in capsys.readouterr().out.splitlines()


def test_the_tables_of_another_engine_are_found_by_its_name_alone(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("CAFFE", "/no/such/place/torchcaffe")
    finish("A2B/n0060/S2T/seed0", 0.6, experiment="demo+engine=torchcaffe")
    summarize(demo(), engine_name())
    assert [row["engine"] for row in table("runs", "demo+engine=torchcaffe")] == ["torchcaffe"]


def test_a_mistake_at_the_command_line_is_one_line_and_exit_code_2(monkeypatch, capsys: pytest.CaptureFixture):
    demo()
    monkeypatch.setattr("sys.argv", ["tools", "summarize", "experiments/demo.yaml"])
    assert command_line.main() == 2
    assert capsys.readouterr().err.startswith("error: models/demo: no run has ended yet")


def test_a_result_that_was_read_from_another_head_is_refused_by_its_manifest():
    finish("A2B/n0060/S2T/seed0", 0.6)
    run = finish("B2A/n0060/S2T/seed0", 0.7)
    manifest = json.loads(run.manifest.read_text())
    manifest["result"]["accuracy"] = 0.51
    run.manifest.write_text(json.dumps(manifest))
    with pytest.raises(UserError, match=r"B2A/n0060/S2T/seed0/manifest.json: its accuracy is 0.51, and the headline"):
        summarize(demo(), "caffe")


def test_a_manifest_is_put_back_unless_its_run_is_at_work(trained, engine):
    run = find_run(trained, "caffe", "A2B/n0004/base/seed0")
    run.manifest.rename(run.stale_manifest)
    with lock(run.lock):
        put_back_manifests(trained, engine)
    assert run.stale_manifest.exists() and not run.manifest.exists()
    put_back_manifests(trained, engine)
    assert run.manifest.exists() and not run.stale_manifest.exists()


def test_a_run_whose_manifest_is_damaged_is_named(capsys: pytest.CaptureFixture):
    demo()
    finish("A2B/n0060/base/seed0", 0.5)
    finish("A2B/n0060/S3T/seed0", 0.5).manifest.write_text("{")
    main(["experiments/demo.yaml"])
    said = "note: models/demo/A2B/n0060/S3T/seed0/manifest.json: damaged, so the run counts as not finished, and its "
    assert capsys.readouterr().err.startswith(said) and len(table("runs")) == 1
