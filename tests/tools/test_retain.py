"""The verb retain on real Caffe: what a target net can still do of the source task."""

import shutil
from pathlib import Path

import pytest

from tools.common.errors import UserError
from tools.common.files import load_json
from tools.protocol.experiment import Experiment, load
from tools.protocol.runs import find_run, retain_run
from tools.results.columns import read_csv
from tools.retain import main, retain
from tools.run import run_one
from tools.scores import scores
from tools.training.engine import Engine
from tools.training.process import RunFailed

TABLE = Path("results/quick/retention.csv")


def test_each_run_that_copied_is_scored_under_both_classifiers(trained: Experiment, engine: Engine) -> None:
    exp = load(Path("experiments/quick.yaml"), "sizes=[4]")
    (row,) = retain(exp, engine)
    assert (row["size"], row["condition"], row["run"]) == (4, "S1T", "models/quick/A2B/n0004/S1T/seed0")
    run = find_run(exp, "caffe", "A2B/n0004/S1T/seed0")
    source = find_run(exp, "caffe", "B2A/n0012/base/seed0")
    assert row["target_accuracy"] == load_json(run.manifest)["result"]["accuracy"]
    assert row["source_accuracy"] == load_json(source.manifest)["result"]["accuracy"]
    assert row["new_fc8"] == load_json(retain_run(run).manifest)["result"]["accuracy"]
    assert row["new_fc8"] > 0.5
    assert row["own_fc8"] == load_json(run.folder / "own_fc8.json")["accuracy"]
    assert not list(run.folder.glob("own_fc8.caffemodel"))
    assert read_csv(TABLE) == [row]


def test_the_command_leaves_out_a_run_whose_net_is_gone(trained: Experiment, capsys: pytest.CaptureFixture) -> None:
    (find_run(trained, "caffe", "A2B/n0012/S1T/seed0").folder / "net_iter_40.caffemodel").unlink()
    main(["experiments/quick.yaml"])
    lines = capsys.readouterr().out.splitlines()
    assert "models/quick/A2B/n0012/S1T/seed0: left out: its caffemodel is gone (keep_models)" in lines
    assert any(line.startswith("A2B/n0004/S1T/seed0: on V_source 0.") for line in lines)
    assert lines[-1] == f"{TABLE}: 1 runs"


def test_without_a_run_that_copied_there_is_nothing_to_score(trained: Experiment, engine: Engine) -> None:
    with pytest.raises(UserError, match=r"no run to score; run `python -m tools sweep experiments/quick\.yaml` first"):
        retain(load(Path("experiments/quick.yaml"), "conditions=[base]"), engine)


def test_a_net_that_was_exchanged_is_not_scored(trained: Experiment, engine: Engine) -> None:
    exp = load(Path("experiments/quick.yaml"), "sizes=[4]")
    retain(exp, engine)
    record = find_run(exp, "caffe", "A2B/n0004/S1T/seed0").folder / "own_fc8.json"
    before = load_json(record)
    source, other = (find_run(trained, "caffe", key) for key in ("B2A/n0012/base/seed0", "A2B/n0012/base/seed0"))
    shutil.copy(other.folder / "net_iter_40.caffemodel", source.folder / "net_iter_40.caffemodel")
    record.write_text("[]")
    with pytest.raises(RunFailed, match=rf"{source.folder}/net_iter_40\.caffemodel: not the net that manifest\.json"):
        retain(exp, engine)
    with pytest.raises(RunFailed, match=rf"{source.folder}/net_iter_40\.caffemodel: not the net that manifest\.json"):
        scores(exp, engine)
    (source.folder / "net_iter_40.caffemodel").unlink()
    source.manifest.unlink()
    run_one(exp, source, engine)
    retain(exp, engine)
    assert load_json(record) == before
