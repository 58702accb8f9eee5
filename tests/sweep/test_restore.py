"""Publish, delete the models, restore, continue: only source nets that are still needed are trained again."""

import json
import shutil
from pathlib import Path

import pytest

pytestmark = pytest.mark.slow

ONE_SIZE = "sizes=[60]"  # the only one that is packed
MORE = "sizes=[60] directions=[B2A] conditions=[base,S2T]"


def manifest(key: str) -> dict:
    return json.loads(Path(f"models/small/{key}/manifest.json").read_text())


def test_published_runs_stand_again_and_a_source_net_is_compared_with_the_one_that_was(packed, small):
    root = packed
    root("sweep", small, "--set", "sizes=[60] conditions=[base]")
    root("publish", small)
    runs, curves = (Path(f"results/small/{name}").read_bytes() for name in ("runs.csv", "curves.csv"))
    shutil.rmtree("models")
    shutil.rmtree("results")

    said = root("restore", small, "--set", ONE_SIZE)
    assert "2 runs restored from docs/results/small/" in said
    assert "0 runs restored" in root("restore", small, "--set", ONE_SIZE)
    root("summarize", small, "--set", ONE_SIZE)
    assert Path("results/small/runs.csv").read_bytes() == runs
    assert Path("results/small/curves.csv").read_bytes() == curves

    assert not list(Path("models").rglob("*.caffemodel"))
    said = root("sweep", small, "--set", MORE)
    assert "A2B/n0060/base/seed0: trained again: the same net, byte by byte" in said
    assert (
        manifest("A2B/n0060/base/seed0")["model"]["sha256_before"]
        == manifest("A2B/n0060/base/seed0")["model"]["sha256"]
    )
    assert manifest("B2A/n0060/S2T/seed0")["proofs"]["start"]["copied_equal"] == 2
    assert not list(Path("models/small/B2A/n0060/base").rglob("*.caffemodel"))

    # a run that the next sweep does not select stands, though its source net is trained again: it came out the same
    (Path("models/small/A2B/n0060/base/seed0") / manifest("A2B/n0060/base/seed0")["model"]["file"]).unlink()
    root("sweep", small, "--set", "sizes=[60] directions=[B2A] conditions=[base,S1T]")
    assert [row.split(",")[3] for row in Path("results/small/runs.csv").read_text().splitlines()[1:]] == [
        "base",
        "base",
        "S1T",
        "S2T",
    ]
    assert not list(Path("models").rglob("manifest.withdrawn.json"))


def test_what_cannot_be_restored_is_told(root, small):
    assert "docs/results/small/manifests.jsonl: not there; --from names" in root("restore", small, status=2)
    Path("docs").mkdir()
    line = {"experiment": "other", "run": "A2B/n0060/base/seed0", "engine": {}, "commit": "", "began": "", "ended": ""}
    Path("docs/manifests.jsonl").write_text(json.dumps(line) + "\n")
    said = root("restore", small, "--from", "docs", status=2)
    assert "docs/manifests.jsonl:1: a run of other, not of small" in said
    Path("docs/manifests.jsonl").write_text("{}\n")
    assert "docs/manifests.jsonl:1: no manifest of a run" in root("restore", small, "--from", "docs", status=2)
