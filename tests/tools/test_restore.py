"""The verb restore: published runs come back into models/ and count as done where their inputs are the same."""

import json
import shutil
from pathlib import Path

import pytest

from tools.common.errors import UserError
from tools.planning.state import make_plan
from tools.protocol.experiment import Experiment, load
from tools.publish import publish
from tools.restore import main, restore
from tools.summarize import summarize
from tools.training.engine import Engine

PUBLISHED = Path("docs/results/quick")


@pytest.fixture
def published(trained: Experiment) -> Experiment:
    """The project with its results published and its models gone."""
    summarize(trained, "caffe")
    publish(trained)
    shutil.rmtree("models")
    return trained


def test_every_run_is_done_again_without_its_net(published: Experiment, engine: Engine) -> None:
    summary = Path("results/quick/summary.csv").read_bytes()
    assert set(make_plan(published, engine).runs.values()) == {"waiting"}
    runs = restore(published, engine, PUBLISHED)
    assert len(runs) == 5 and not list(Path("models").rglob("*.caffemodel"))
    assert set(make_plan(published, engine).runs.values()) == {"done"}
    shutil.rmtree("results")
    summarize(published, "caffe")
    assert Path("results/quick/summary.csv").read_bytes() == summary


def test_restored_runs_keep_the_ids_of_their_classes_without_the_data(published: Experiment, engine: Engine) -> None:
    tables = {name: Path(f"results/quick/{name}").read_bytes() for name in ("classes.csv", "predictions.npz")}
    restore(published, engine, PUBLISHED)
    shutil.rmtree("data")
    shutil.rmtree("results")
    summarize(published, "caffe")
    assert len(tables["classes.csv"].splitlines()) > 1
    assert {name: Path(f"results/quick/{name}").read_bytes() for name in tables} == tables


def test_runs_that_are_there_are_left_alone(
    published: Experiment, engine: Engine, capsys: pytest.CaptureFixture
) -> None:
    restore(published, engine, PUBLISHED)
    assert restore(published, engine, PUBLISHED) == []
    main(["experiments/quick.yaml"])
    assert capsys.readouterr().out == "models/quick/: 0 runs restored from docs/results/quick/\n"


def test_without_packed_data_it_says_what_to_run(published: Experiment, engine: Engine) -> None:
    shutil.rmtree("data")
    with pytest.raises(
        UserError, match="its data are not packed; run `python -m tools` fetch, split, pack and mean first"
    ):
        restore(published, engine, PUBLISHED)


def test_what_is_no_publication_of_this_experiment_is_refused(published: Experiment, engine: Engine) -> None:
    with pytest.raises(UserError, match=r"nowhere/manifests\.jsonl: not there; --from names a folder"):
        restore(published, engine, Path("nowhere"))
    with pytest.raises(UserError, match=r"manifests\.jsonl:1: a run of quick, not of quick\+max_iter=7"):
        restore(load(Path("experiments/quick.yaml"), "max_iter=7"), engine, PUBLISHED)
    file = PUBLISHED / "manifests.jsonl"
    lines = file.read_text().splitlines()
    file.write_text("\n".join([lines[0], json.dumps({"experiment": "quick"})]))
    lacking = "it lacks run, engine, commit, began, ended"
    with pytest.raises(UserError, match=rf"manifests\.jsonl:2: no manifest of a run \({lacking}\); publish it again"):
        restore(published, engine, PUBLISHED)
