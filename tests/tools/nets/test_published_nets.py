"""The prototxts of every published run are rendered byte for byte as its manifest has them, so it still counts."""

import hashlib
import json
from pathlib import Path

import pytest

from tools.nets.templates import NET, SOLVER, render
from tools.protocol.experiment import load
from tools.protocol.runs import runs_of

PUBLISHED = {  # engine, classes and validation images of a half
    "demo": ("caffe", 5, 5000),
    "tiny-small": ("torchcaffe", 100, 5000),
    "tiny-40": ("torchcaffe", 20, 1000),
    "places-40": ("torchcaffe", 20, 2000),
}


@pytest.mark.parametrize("name", PUBLISHED)
def test_a_published_run_is_rendered_as_it_was(name: str, checkout: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    engine, classes, val = PUBLISHED[name]
    monkeypatch.chdir(checkout)
    half = {
        "classes": {key: [str(i) for i in range(classes)] for key in "AB"},
        "counts": {key: {"val": val} for key in "AB"},
    }
    lines = (checkout / "docs" / "results" / name / "manifests.jsonl").read_text().splitlines()
    recorded = {manifest["run"]: manifest for manifest in map(json.loads, lines)}
    compared = 0
    for settings in sorted({manifest["set"] for manifest in recorded.values()}):
        exp = load(checkout / "experiments" / f"{name}.yaml", settings)
        for run in runs_of(exp, engine):
            if run.key not in recorded or recorded[run.key]["set"] != settings:
                continue
            found, inputs = render(exp, run, half), recorded[run.key]["inputs"]
            solvers = {sha256(found.solver), sha256(found.solver.replace("snapshot_after_train: true\n", ""))}
            assert sha256(found.net) == inputs[NET], run.key
            assert inputs[SOLVER] in solvers, run.key
            compared += 1
    assert compared == len(recorded)


def sha256(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()
