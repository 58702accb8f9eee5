"""What was run, and with what: engines, devices, commits and times, from manifests or from published ones."""

import json
from pathlib import Path

import pytest

from tests.helpers.finished_runs import finish
from tools.common.files import write_atomic
from tools.page import provenance

pytestmark = pytest.mark.usefixtures("root")


def manifest(version: str, device: str, commit: str | None, began: str, ended: str) -> dict:
    return {"engine": {"version": version, "device": device}, "commit": commit, "began": began, "ended": ended}


MANIFESTS = [
    manifest("caffe version 1.0.0", "cpu", "a" * 40, "2026-11-24T21:31:01Z", "2026-11-24T21:40:00Z"),
    manifest("caffe version 1.0.0", "gpu 0", "b" * 40 + "+", "2026-11-23T08:00:59Z", "2026-11-25T00:00:01Z"),
    manifest("caffe version 1.0.0", "gpu 1", None, "2026-11-24T21:31:01Z", "2026-11-24T21:40:00Z"),
]
ROWS = [
    {"seconds": 5400, "engine": "caffe"},
    {"seconds": None, "engine": "caffe"},
    {"seconds": 1800, "engine": "caffe"},
]


def test_engines_devices_and_commits_are_counted() -> None:
    summary = provenance.summary(MANIFESTS)
    assert summary is not None
    assert summary["engines"] == [["caffe version 1.0.0", "gpu", 2], ["caffe version 1.0.0", "cpu", 1]]
    assert sorted(summary["commits"]) == [["a" * 40, 1], ["b" * 40 + "+", 1], ["unknown", 1]]
    assert (summary["began"], summary["ended"]) == ("2026-11-23T08:00:59Z", "2026-11-25T00:00:01Z")
    assert provenance.summary([]) is None


def test_the_lines_of_the_page_say_it_in_words() -> None:
    lines = dict(provenance.facts(provenance.summary(MANIFESTS), ROWS))
    assert lines["engine"] == "caffe version 1.0.0 on the GPU (2 runs); caffe version 1.0.0 on the CPU (1 run)"
    assert lines["commit"] == "aaaaaaaaaaaa (1 run); bbbbbbbbbbbb+ (1 run); unknown (1 run)"
    assert lines["training"] == "3 runs, 2.0 hours of training in all"
    assert lines["when"] == "2026-11-23 08:00 UTC to 2026-11-25 00:00 UTC"


def test_images_that_were_left_out_are_said() -> None:
    lost = {"missing": 9_990, "unreadable": 8, "not_packed": 2}
    ran = provenance.summary([MANIFESTS[0] | {"left_out": lost}, MANIFESTS[1]])
    said = dict(provenance.facts(ran, ROWS))["images"]
    assert said == "10,000 images missing or unreadable, and left out (on_bad_image: skip)"
    assert "images" not in dict(provenance.facts(provenance.summary(MANIFESTS), ROWS))


def test_of_many_commits_the_first_are_named() -> None:
    many = [MANIFESTS[0] | {"commit": f"{i:040d}"} for i in range(5)]
    assert dict(provenance.facts(provenance.summary(many), ROWS))["commit"].endswith("; and 2 more")


def test_without_manifests_the_tables_say_what_they_can() -> None:
    assert provenance.facts(None, ROWS) == [("engine", "caffe"), ("training", "3 runs, 2.0 hours of training in all")]


def test_manifests_are_those_of_the_runs_that_have_one_or_the_published_ones(tmp_path: Path) -> None:
    run = finish("A2B/n0060/S3T/seed0", 0.5)
    rows = [{"run": str(run.folder)}, {"run": "models/demo/A2B/n0060/S4T/seed0"}]
    found = provenance.manifests_of(rows)
    assert [made["run"] for made in found] == ["A2B/n0060/S3T/seed0"]
    assert provenance.published_manifests(Path("docs")) == []
    write_atomic(Path("docs/manifests.jsonl"), "".join(json.dumps(made) + "\n" for made in found))
    assert provenance.published_manifests(Path("docs")) == found
