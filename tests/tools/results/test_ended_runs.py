"""The runs below models/: which folders are runs, in which order, and which of them have ended."""

import hashlib
import shutil
from pathlib import Path

import pytest

from tests.helpers.finished_runs import fail, finish
from tools.results.ended_runs import ended_runs, note_damaged_manifests, run_of, runs_on_disk

pytestmark = pytest.mark.usefixtures("root")


def test_a_key_is_a_run_only_as_it_would_be_written() -> None:
    run = run_of("demo", "A2B/n0060/S3T+/seed11")
    assert run is not None and (run.size, run.condition, run.seed) == (60, "S3T+", 11)
    whole = run_of("demo", "B2A/nall/base/seed0")
    assert whole is not None and whole.size == "all"
    for key in (
        "A2B/n60/S3T/seed0",
        "A2B/n0060/S0T/seed0",
        "A2A/n0060/S3T/seed0",
        "A2B/n0060/S3T/seed00",
        "A2B/n0060/S3T",
    ):
        assert run_of("demo", key) is None, key


def test_runs_are_in_the_order_of_the_tables_and_other_folders_are_none() -> None:
    keys = [
        "A2B/n6000/base/seed0",
        "A2B/n0060/base/seed0",
        "B2A/n0060/base/seed0",
        "A2B/n0060/S3T/seed0",
        "A2B/n0060/S3T/seed1",
    ]
    for key in reversed(keys):
        finish(key, 0.5)
    finish("A2B/n0060/S3T-retain/seed0", 0.5)
    shutil.copytree("models/demo/A2B/n0060/S3T/seed0", "models/demo/A2B/n0060/S3T/seed0.bak")
    shutil.copytree("models/demo/A2B/n0060/S3T/seed0", "models/demo/A2B/n0060/notes/seed0")
    assert [run.key for run in runs_on_disk("demo")] == keys
    assert [run.key for run in runs_on_disk("demo", retained=True)] == ["A2B/n0060/S3T-retain/seed0"]
    assert runs_on_disk("other") == []


def test_a_run_has_ended_with_its_manifest_or_else_its_failure(capsys: pytest.CaptureFixture) -> None:
    done = finish("A2B/n0060/base/seed0", 0.5)
    both = finish("A2B/n0060/S3T/seed0", 0.6)
    fail("A2B/n0060/S3T/seed0")
    failed = fail("A2B/n0060/S4T/seed0")
    Path("models/demo/A2B/n0060/S5T/seed0").mkdir(parents=True)
    damaged = finish("A2B/n0060/S6T/seed0", 0.5)
    damaged.manifest.write_text('{"run": ')
    ended = {one.run: one for one in ended_runs("demo")}
    assert list(ended) == [done, both, failed]
    assert ended[both].content["result"]["accuracy"] == 0.6
    assert "error" in ended[failed].content
    note_damaged_manifests("demo")
    assert capsys.readouterr().err == (
        f"note: {damaged.manifest}: damaged, so the run counts as not finished, and its result is in no table; a sweep "
        "finishes it again\n"
    )
    assert ended[done].sha256 == hashlib.sha256(done.manifest.read_bytes()).hexdigest()
