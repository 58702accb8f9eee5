"""Tables, claims, figures and page: a changed bit is named, and so is one that was made from others than are there."""

import shutil
from pathlib import Path

import pytest

from tests.helpers.flipped import flip
from tests.helpers.verified import run_command
from tools.claims import claims
from tools.common.files import read_json, write_atomic, write_json, write_record
from tools.plot import plot
from tools.protocol.experiment import Experiment, load
from tools.report import report
from tools.retain import retain
from tools.scores import scores
from tools.summarize import summarize
from tools.training.engine import Engine

RESULTS = Path("results/quick")
TABLES = {
    "runs.csv": "summarize",
    "summary.csv": "summarize",
    "curves.csv": "summarize",
    "predictions.npz": "summarize",
    "summary.json": "summarize",
    "claims.csv": "claims",
    "claims.json": "claims",
}
PAGES = {
    "figures/accuracy.png": "plot",
    "figures/accuracy.pdf": "plot",
    "figures/accuracy.csv": "plot",
    "figures/figures.json": "plot",
    "report.html": "report",
    "report.json": "report",
}


@pytest.fixture
def tables(trained: Experiment) -> Experiment:
    """The trained project with its tables and claims."""
    summarize(trained, "caffe")
    claims(trained)
    return trained


@pytest.fixture(scope="module")
def kept(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("results")


@pytest.fixture
def whole(trained: Experiment, kept: Path) -> Experiment:
    """The trained project with tables, claims, figures and page, made once for the module."""
    if not (kept / "results").exists():
        summarize(trained, "caffe")
        claims(trained)
        plot(trained, "caffe")
        report(trained, "caffe")
        shutil.copytree("results", kept / "results")
    shutil.rmtree("results", ignore_errors=True)
    shutil.copytree(kept / "results", "results")
    return trained


def test_a_changed_bit_in_a_table_is_the_one_fault_and_the_command_mends_it(tables: Experiment, look) -> None:
    assert look().unfinished == ["plot", "report"] and look().faults == []
    for name, verb in TABLES.items():
        good = flip(RESULTS / name)
        (fault,) = look().faults
        assert fault.file == RESULTS / name and f"tools {verb} experiments/quick.yaml" in fault.command
        (RESULTS / name).write_bytes(good)


@pytest.mark.slow
def test_tables_of_scores_and_of_what_was_retained_have_checksums(trained: Experiment, look, engine: Engine) -> None:
    scores(trained, engine)
    retain(load(trained.file, "sizes=[4] conditions=[S1T]"), engine)
    assert look().unrecorded == []
    for name, verb in (("scores.csv", "scores"), ("scores_correlation.csv", "scores"), ("retention.csv", "retain")):
        good = flip(RESULTS / name)
        (fault,) = look().faults
        assert fault.file == RESULTS / name
        assert fault.command.startswith(f"python -m tools {verb} experiments/quick.yaml")
        (RESULTS / name).write_bytes(good)
    assert scores(trained, engine) and look().faults == [], "a second call keeps the record"


@pytest.mark.slow
@pytest.mark.parametrize("verb", ["summarize", "claims", "plot", "report"])
def test_the_command_mends_it(whole: Experiment, look, verb: str) -> None:
    """Each file of a verb is named by itself, with the same command, which mends all of them."""
    assert look().faults == []
    names, commands, good = [name for name, by in (TABLES | PAGES).items() if by == verb], set(), {}
    for name in names:
        good[name] = flip(RESULTS / name)
        (fault,) = look().faults
        assert fault.file == RESULTS / name and f"tools {verb} experiments/quick.yaml" in fault.command
        commands.add(fault.command)
        (RESULTS / name).write_bytes(good[name])
    for name in names:
        flip(RESULTS / name)
    for command in commands:
        run_command(command)
    assert look().faults == []
    assert {name: (RESULTS / name).read_bytes() for name in names} == good


def test_tables_of_a_run_that_is_gone_and_of_another_manifest_are_named(tables: Experiment, look) -> None:
    gone, other = (Path(f"models/quick/A2B/n0004/{name}/seed0/manifest.json") for name in ("base", "S1T"))
    gone.unlink()
    manifest = read_json(other)
    write_record(other, manifest | {"ended": "2026-01-01T00:00:00Z"})
    findings = look()
    assert {(fault.file, fault.what) for fault in findings.faults} == {
        (gone, "not there, and results/quick/runs.csv has the run"),
        (other, "not the one that results/quick/runs.csv was made from"),
    }
    assert "A2B/n0004/base/seed0" in findings.unfinished


def test_runs_that_ended_since_are_not_finished_and_no_fault(trained: Experiment, look) -> None:
    manifest = Path("models/quick/A2B/n0012/S1T/seed0/manifest.json")
    manifest.rename("aside")
    summarize(trained, "caffe")
    Path("aside").rename(manifest)
    findings = look()
    assert findings.faults == []
    assert "summarize: 1 more runs have ended, as A2B/n0012/S1T/seed0" in " ".join(findings.unfinished)


def test_claims_of_other_tables_are_named(tables: Experiment, look) -> None:
    record = read_json(RESULTS / "claims.json")
    write_record(RESULTS / "claims.json", record | {"inputs": record["inputs"] | {"results/quick/runs.csv": "0" * 64}})
    (fault,) = look().faults
    assert (
        fault.what == "made from another results/quick/runs.csv than is there now" and "tools claims" in fault.command
    )


def test_claims_that_were_given_a_file_are_tested_on_it_again(tables: Experiment, look) -> None:
    write_atomic(Path("mine.yaml"), "margin: 0.01\n")
    record = read_json(RESULTS / "claims.json")
    write_json(RESULTS / "claims.json", record | {"claims": "mine.yaml"})
    assert [fault.command for fault in look().faults] == [
        f"rm -r {RESULTS}/claims.json && python -m tools claims experiments/quick.yaml --claims mine.yaml"
    ]


@pytest.mark.slow
def test_records_without_checksums_stand_and_their_files_are_counted(whole: Experiment, look) -> None:
    for name in ("figures/figures.json", "report.json"):
        record = read_json(RESULTS / name)
        write_json(RESULTS / name, {k: v for k, v in record.items() if k not in ("outputs", "checksum")})
    figures = read_json(RESULTS / "figures/figures.json")
    report(whole, "caffe")
    record = read_json(RESULTS / "report.json")
    write_json(RESULTS / "report.json", {k: v for k, v in record.items() if k not in ("outputs", "checksum")})
    findings = look()
    assert findings.faults == []
    assert {path.name for path in findings.unrecorded} == {"report.html", *figures["files"]}


@pytest.mark.slow
def test_a_page_without_its_record_is_named(whole: Experiment, look) -> None:
    (RESULTS / "report.json").unlink()
    (fault,) = look().faults
    assert fault.file == RESULTS / "report.json" and "tools report" in fault.command
