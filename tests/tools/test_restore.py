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


def edited(lines: list[str], checksum: bool) -> str:
    """The manifests with an accuracy of 0.99; without a checksum, as those of older versions, if not `checksum`."""
    manifests = [json.loads(line) for line in lines]
    for manifest in manifests:
        manifest["result"]["accuracy"] = 0.99
        if not checksum:
            del manifest["checksum"]
    return "".join(f"{json.dumps(manifest)}\n" for manifest in manifests)


def test_edited_cut_and_doubled_manifests_are_refused_and_nothing_is_written(
    published: Experiment, engine: Engine
) -> None:
    file = PUBLISHED / "manifests.jsonl"
    lines = file.read_text().splitlines(keepends=True)
    key = json.loads(lines[0])["run"]
    for text, faults, why in (
        (edited(lines, True), 5, f"manifests.jsonl:1: the manifest of {key} was edited; publish it again"),
        (edited(lines, False), 5, f"manifests.jsonl: {key} has accuracy 0.99, in runs.csv it is "),
        ("".join(lines[1:]), 1, f"manifests.jsonl: no manifest of {key}, which runs.csv has; publish it again"),
        ("", 5, f"manifests.jsonl: no manifest of {key}, which runs.csv has"),
        ("".join([*lines, lines[0]]), 1, f"manifests.jsonl:6: {key} is there a second time; publish it again"),
    ):
        file.write_text(text)
        with pytest.raises(UserError) as error:
            restore(published, engine, PUBLISHED)
        assert why in str(error.value) and len(str(error.value).splitlines()) == faults
        assert not Path("models").exists()


def test_manifests_without_checksums_are_restored_and_missing_predictions_and_rows_refused(
    published: Experiment, engine: Engine
) -> None:
    file = PUBLISHED / "manifests.jsonl"
    manifests = [json.loads(line) for line in file.read_text().splitlines()]
    rows = (PUBLISHED / "runs.csv").read_text().splitlines(keepends=True)
    (PUBLISHED / "predictions.npz").rename("away.npz")
    with pytest.raises(UserError, match=r"docs/results/quick/predictions.npz: not there\n.*npz: no predictions of A2B"):
        restore(published, engine, PUBLISHED)
    Path("away.npz").rename(PUBLISHED / "predictions.npz")
    file.write_text("".join(f"{json.dumps(manifest)}\n" for manifest in manifests[1:]))
    (PUBLISHED / "runs.csv").write_text("".join(row for row in rows if manifests[0]["run"] not in row))
    with pytest.raises(
        UserError, match=f"runs.csv: no row of {manifests[0]['run']}, which summary.json names; publish"
    ):
        restore(published, engine, PUBLISHED)
    for manifest in manifests:
        del manifest["checksum"]
    file.write_text("".join(f"{json.dumps(manifest)}\n" for manifest in manifests))
    (PUBLISHED / "runs.csv").write_text("".join(rows))
    (PUBLISHED / "summary.json").unlink()
    assert len(restore(published, engine, PUBLISHED)) == 5


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
