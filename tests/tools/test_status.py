"""The verb status: what is done of every run and stage."""

import pytest

from tests.helpers.shell_scripts import stand_in
from tools.protocol.experiment import Experiment
from tools.protocol.layout import Run
from tools.protocol.runs import find_run
from tools.status import main, table


def test_the_table_has_a_line_a_size_direction_and_seed_and_a_column_a_condition() -> None:
    states = {
        Run("demo", "A2B", 60, "base", 0): "done",
        Run("demo", "A2B", 60, "S3T", 0): "stale: weights changed",
        Run("demo", "A2B", "all", "base", 1): "failed",
        Run("demo", "A2B", "all", "S3T", 1): "waiting",
    }
    lines = [line.split() for line in table(states).splitlines()]
    assert lines == [
        ["base", "S3T"],
        ["n0060", "A2B", "seed0", "done", "stale"],
        ["nall", "A2B", "seed1", "FAILED", "."],
    ]


def test_the_command_counts_the_runs_names_the_stages_and_what_is_stale(
    trained: Experiment, capsys: pytest.CaptureFixture
) -> None:
    find_run(trained, "caffe", "A2B/n0004/base/seed0").manifest.unlink()
    find_run(trained, "caffe", "A2B/n0012/S1T/seed0").failed.write_text("{}")
    find_run(trained, "caffe", "A2B/n0012/S1T/seed0").manifest.unlink()
    main(["experiments/quick.yaml"])
    lines = capsys.readouterr().out.splitlines()
    assert "3 done, 1 failed, 1 waiting of 5 runs" in lines
    after = ", ".join(f"{stage} to do" for stage in ("summarize", "claims", "plot", "report"))
    assert f"stages: fetch done, split done, pack done, mean done, {after}" in lines
    assert "  models/quick/A2B/n0012/S1T/seed0: failed" in lines
    assert lines[-1] == "results: results/quick/"


def test_runs_of_another_version_of_the_engine_are_stale(
    trained: Experiment, tmp_path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture
) -> None:
    monkeypatch.setenv("CAFFE", str(stand_in(tmp_path / "bin", "caffe", "echo caffe version 1.0.1")))
    main(["experiments/quick.yaml"])
    out = capsys.readouterr().out
    assert "5 stale of 5 runs" in out
    assert "  models/quick/A2B/n0004/S1T/seed0: stale: engine changed" in out
