"""The verb sweep as far as it needs no training: what it prints first, the dry run, and what is left after a failure.

Whole sweeps are in tests/sweep.
"""

import re
from pathlib import Path

import pytest

from tools.common.errors import UserError
from tools.common.files import load_json, temporary_folder, write_json
from tools.planning.state import Plan
from tools.protocol.experiment import Experiment, load
from tools.protocol.runs import find_run
from tools.results.columns import read_csv
from tools.sweep import default_jobs, header, main, sweep
from tools.training.engine import Engine
from tools.training.gpus import selected_gpus


def test_the_first_lines_have_all_that_is_needed_to_do_it_again(trained: Experiment, engine: Engine) -> None:
    lines = header(load(Path("experiments/quick.yaml"), "sizes=[4]"), engine, 2).splitlines()
    assert (
        lines[0]
        == f'experiments/quick.yaml with SET="sizes=[4]", caffe version 1.0.0 ({engine.path}), 2 at a time on the CPU'
    )
    assert "  sizes: [4]" in lines and "  model: three" in lines
    assert not [line for line in lines if "None" in line]


def test_there_is_a_training_a_core_or_a_place_on_a_gpu(engine: Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    selected_gpus.cache_clear()
    monkeypatch.setenv("GPUS", "0,1")
    monkeypatch.setenv("PER_GPU", "3")
    assert default_jobs(engine) == 6
    selected_gpus.cache_clear()
    monkeypatch.setenv("GPUS", "")
    assert default_jobs(engine) >= 1
    selected_gpus.cache_clear()


def test_a_dry_run_lists_stages_runs_and_the_time_left_and_changes_nothing(
    trained: Experiment, capsys: pytest.CaptureFixture
) -> None:
    run = find_run(trained, "caffe", "A2B/n0004/base/seed0")
    run.manifest.unlink()
    assert main(["experiments/quick.yaml", "--dry-run", "--jobs", "1"]) == 0
    out = capsys.readouterr().out
    assert "  mean       done" in out and "  summarize  to do" in out
    assert "  A2B/n0004/base/seed0  waiting" in out and "  A2B/n0004/S1T/seed0   done" in out
    assert "5 runs, 4 done; folder models/quick/" in out
    assert re.search(
        r"Time left: at most about 0 minutes of training: 1 runs of 40 iterations of 0\.\d{3} s, 1 at a", out
    )
    assert not run.manifest.exists()


@pytest.mark.parametrize("name", ["slurm", "kubernetes"])
def test_a_dry_run_of_a_cluster_sends_and_trains_nothing(
    trained: Experiment, capsys: pytest.CaptureFixture, name: str
) -> None:
    find_run(trained, "caffe", "A2B/n0004/S1T/seed0").manifest.unlink()
    before = {path: path.stat().st_mtime_ns for path in [*Path("results").rglob("*"), *Path("models").rglob("*")]}
    assert main(["experiments/quick.yaml", "--dry-run", "--executor", name]) == 0
    said = capsys.readouterr().out
    assert f"1 at a time in each of 8 jobs of {name}\n" in said and "Time left: not known" in said
    assert {
        path: path.stat().st_mtime_ns for path in [*Path("results").rglob("*"), *Path("models").rglob("*")]
    } == before


def test_a_dry_run_forecasts_what_may_follow(trained: Experiment, capsys: pytest.CaptureFixture) -> None:
    """Runs that copy from a source net that is stale are to do; runs whose LMDBs are made again may be."""
    source = find_run(trained, "caffe", "B2A/n0012/base/seed0")
    manifest = load_json(source.manifest)
    write_json(source.manifest, manifest | {"inputs": manifest["inputs"] | {"mean": "0" * 64}})
    assert main(["experiments/quick.yaml", "--dry-run", "--jobs", "1"]) == 0
    out = capsys.readouterr().out
    assert "5 runs, 2 done; folder models/quick/\n" in out and "of training: 3 runs of 40 iterations" in out
    assert out.count("stale: the run that it copies from is stale") == 2
    write_json(source.manifest, manifest)
    next(Path("data").rglob("A/val.txt")).parents[1].joinpath("12x12-gray/mean.json").unlink()
    assert main(["experiments/quick.yaml", "--dry-run", "--jobs", "1"]) == 0
    out = capsys.readouterr().out
    assert "Up to 5 more are trained again if what is made again before them changes." in out
    assert "  pack       done" in out and "  mean       to do" in out


def test_where_a_run_is_missing_the_tables_tell_of_the_others(
    trained: Experiment, engine: Engine, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture
) -> None:
    """Snakemake plans the graph and starts nothing, as if every job had been killed."""
    monkeypatch.setenv("SNAKEMAKE_FLAGS", "--dry-run")
    find_run(trained, "caffe", "A2B/n0004/base/seed0").manifest.unlink()
    assert sweep(trained, engine, 1) == 1
    out, err = capfd.readouterr()
    assert "1 of 5 runs to do." in out and "No GPU here. Time left" in out
    assert "quick: 4 of 5 runs done in" in err
    assert "what there is: results/quick/runs.csv, summary.csv. The same command goes on from here." in err
    assert len(read_csv(Path("results/quick/runs.csv"))) == 4


def test_an_experiment_that_does_not_fit_its_template_is_refused_before_any_work(
    trained: Experiment, capsys: pytest.CaptureFixture
) -> None:
    with pytest.raises(UserError, match="conditions: S3T; three has 3 weighted layers: at most S2T"):
        main(["experiments/quick.yaml", "--set", "conditions=[S3T]"])


@pytest.mark.parametrize("dry", [["--dry-run"], []], ids=["dry run", "sweep"])
@pytest.mark.parametrize(
    ("path", "told"),
    [
        ("/no/images", "^SET: path: /no/images does not exist; name the data set's folder"),
        ("solvers", "^SET: path: solvers has no train/ and no val/"),
        ("solvers/quick.prototxt", "^SET: path: solvers/quick.prototxt is a file; name a folder with train/"),
    ],
)
def test_a_path_without_images_is_told_before_any_work(
    trained: Experiment, dry: list[str], path: str, told: str, capsys: pytest.CaptureFixture
) -> None:
    with pytest.raises(UserError, match=told):
        main(["experiments/quick.yaml", "--set", f"path={path}", "--jobs", "1", *dry])
    assert not capsys.readouterr().out


def test_nets_stay_while_another_sweep_may_need_them(
    trained: Experiment, engine: Engine, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture
) -> None:
    """keep_models: none removes them at the end of a sweep, also of one that has nothing left to do."""
    exp = load(Path("experiments/quick.yaml"), "keep_models=none")
    monkeypatch.setattr(Plan, "is_complete", True)
    with temporary_folder(Path("results/quick/graph")):
        assert sweep(exp, engine, 1) == 0
        assert len(list(Path("models").rglob("*.caffemodel"))) == 5
        assert "another sweep of it may need the nets" in capsys.readouterr().out
    assert sweep(exp, engine, 1) == 0
    assert not list(Path("models").rglob("*.caffemodel"))


def test_a_number_of_jobs_below_one_is_refused(trained: Experiment) -> None:
    with pytest.raises(UserError, match="--jobs -1: the number of trainings at a time; at least 1"):
        main(["experiments/quick.yaml", "--jobs", "-1"])
