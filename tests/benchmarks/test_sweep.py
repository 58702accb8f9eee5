"""Where a sweep's time went is read from the times of its files, and the parts add up to the whole."""

import json
import os
from pathlib import Path
from types import SimpleNamespace

import pytest

from benchmarks import sweep
from benchmarks.record import Measuring

BEGAN = 1_700_000_000.0
STAGES = {"fetch": 2, "split": 5, "pack": 9, "mean": 10, "summarize": 43, "claims": 44, "plot": 50, "report": 52}
RUN = {".lock": 0, "attempts.json": 1, "train.json": 9, "test.csv": 9.5, "predictions.npz": 11, "manifest.json": 11.25}


def at(file: Path, seconds: float, content: object = None) -> Path:
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(json.dumps(content))
    os.utime(file, (BEGAN + seconds, BEGAN + seconds))
    return file


def a_run(folder: Path, begins: float) -> SimpleNamespace:
    """A finished run; its engine ran for 7.5 seconds, 6 of them trained."""
    for name, seconds in RUN.items():
        content = {"train.json": {"seconds": 7.5}, "manifest.json": {"result": {"seconds": 6.0}}}.get(name)
        at(folder / name, begins + seconds, content)
    return SimpleNamespace(folder=folder, manifest=folder / "manifest.json")


@pytest.fixture
def phases(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, float]:
    """Of a sweep with two runs at a time, that began three runs after 12, 13 and 30 seconds."""
    stages = {verb: [SimpleNamespace(marker=at(tmp_path / verb, seconds))] for verb, seconds in STAGES.items()}
    monkeypatch.setattr(sweep, "stages_of", lambda exp, engine: stages)
    runs = [a_run(tmp_path / f"run{begins}", begins) for begins in (12, 13, 30)]
    return sweep.phases_of(None, "caffe", runs, BEGAN, BEGAN + 53, jobs=2)  # type: ignore[arg-type]


def test_the_parts_add_up_to_the_time_of_the_whole(phases: dict[str, float]) -> None:
    assert sum(phases.values()) == pytest.approx(53)


def test_each_part_is_the_time_between_two_files(phases: dict[str, float]) -> None:
    shown = {name.split(" (")[0]: round(seconds, 3) for name, seconds in phases.items()}
    assert shown == {
        "fetch and check the archives": 2, "split": 3, "pack": 4, "mean": 1,
        "runs: checks and prototxts": 1.5, "runs: proof of the start": 0.75,
        "runs: the engine beside its training, proofs of the end": 2.25, "runs: training, with its tests": 9,
        "runs: log to tables": 0.75, "runs: predictions": 2.25, "runs: manifest": 0.375,
        "runs: between two": 31.25 - 16.875,
        "tables": 1.75, "claims": 1, "figures": 6, "page": 2, "the end": 1,
    }  # fmt: skip


def test_the_record_has_a_column_for_each_sweep(phases: dict[str, float], tmp_path: Path) -> None:
    one = sweep.Swept(3, phases, wall=53, cpu=60, again=2.5, idle=0.43)
    measuring = Measuring("sweep")
    sweep.tables_of({"BVLC Caffe": one, "torchcaffe": one}, measuring)
    record = json.loads(measuring.write(tmp_path).read_text())
    clock, others = record["tables"]
    assert clock["columns"] == ["", "BVLC Caffe", "torchcaffe"] and clock["rows"][-1][1:] == ["**53.0**"] * 2
    assert ["cores idle", "43%", "43%"] in others["rows"] and ["runs", "3", "3"] in others["rows"]
