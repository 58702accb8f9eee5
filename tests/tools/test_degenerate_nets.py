"""Nets that learned nothing, by real Caffe: the source net has diverged, or is dead. Every verb after the training
ends, and says what it leaves out.
"""

import math
from pathlib import Path

import pytest

from tests.helpers.trained_project import train_all
from tools import confusion, plot, predict, report, retain, scores
from tools.common.errors import UserError
from tools.common.files import load_json, write_json
from tools.protocol.experiment import Experiment, load
from tools.protocol.runs import find_run
from tools.results.columns import read_csv
from tools.summarize import summarize
from tools.training.engine import Engine
from tools.verification.run_files import copy_fault, provable

RESULTS = Path("results/quick")
SOURCE = "models/quick/B2A/n0012/base/seed0"


@pytest.fixture
def diverged(trained: Experiment, engine: Engine) -> Experiment:
    """Two runs: a source net that a rate of 10^6 made diverge, and one that copied from it."""
    return trained_with(engine, "solvers/quick.prototxt", "base_lr: 0.05", "base_lr: 1e6")


@pytest.fixture
def dead(trained: Experiment, engine: Engine) -> Experiment:
    """Two runs of a net whose hidden layer gives 0 for every image.

    Its last layer gives equal scores to all classes, which Accuracy and ArgMax count differently.
    """
    filled = 'bias_filler { type: "constant" value: -1000 } num_output: 10'
    return trained_with(engine, "prototxt/three/train_val.prototxt", "num_output: 10", filled)


def trained_with(engine: Engine, file: str, old: str, new: str) -> Experiment:
    text = Path(file).read_text()
    assert old in text
    Path(file).write_text(text.replace(old, new))
    exp = load(Path("experiments/quick.yaml"), "sizes=[4] conditions=[S1T]")
    train_all(exp, engine)
    summarize(exp, engine.name)
    return exp


def set_status(exp: Experiment, key: str, status: str) -> None:
    manifest = find_run(exp, "caffe", key).manifest
    record = load_json(manifest)
    record["result"]["status"] = status
    write_json(manifest, record)


def status_of(exp: Experiment, key: str) -> str:
    return load_json(find_run(exp, "caffe", key).manifest)["result"]["status"]


@pytest.mark.slow
def test_a_diverged_source_net_leaves_figures_undrawn_and_the_page_says_why(diverged: Experiment) -> None:
    assert status_of(diverged, "B2A/n0012/base/seed0") == "diverged"
    assert plot.plot(diverged, "caffe") and report.report(diverged, "caffe")
    left_out = load_json(RESULTS / "figures/figures.json")["left_out"]
    assert left_out["tsne"] == f"{SOURCE} has diverged, so its features mean nothing"
    assert left_out["filters"] == f"{SOURCE} has diverged: its weights are not all finite numbers"
    page = (RESULTS / "report.html").read_text()
    assert f"<b>tsne</b> ({left_out['tsne']})" in page
    with pytest.raises(UserError, match="the run A2B/n0004/S1T/seed0 has diverged, and a net that has diverged"):
        confusion.main(["experiments/quick.yaml", "A2B/n0004/S1T/seed0"])
    assert not plot.plot(diverged, "caffe"), "what could not be drawn is not tried again"


def test_scores_and_retention_leave_out_what_a_diverged_net_says(diverged: Experiment, engine: Engine, capsys) -> None:
    """BVLC Caffe's accuracy of outputs that are not numbers is 1."""
    (RESULTS / "retention.csv").write_text("of before")
    assert scores.scores(diverged, engine) == ([], []) and retain.retain(diverged, engine) == []
    assert capsys.readouterr().out.splitlines()[-2:] == [
        f"A2B-n0004-seed0: left out: its source net {SOURCE} has diverged",
        "models/quick/A2B/n0004/S1T/seed0: left out: it has diverged",
    ]
    assert read_csv(RESULTS / "scores.csv") == read_csv(RESULTS / "retention.csv") == []


def test_a_diverged_run_is_no_fault_for_verify_and_has_no_predictions(diverged: Experiment) -> None:
    """Its layers are the source net's: no number, bit by bit."""
    run = find_run(diverged, "caffe", "A2B/n0004/S1T/seed0")
    manifest = load_json(run.manifest)
    files = provable(diverged, run, manifest)
    assert len(files) == 3 and copy_fault(diverged, run, manifest, files) == ""
    with pytest.raises(UserError, match=f"{run.folder} has diverged: its net has no scores"):
        predict.main(["experiments/quick.yaml", run.key])


def test_a_run_that_learned_after_its_source_net_diverged_is_left_out_of_retention(
    trained: Experiment, engine: Engine, capsys: pytest.CaptureFixture
) -> None:
    exp = load(Path("experiments/quick.yaml"), "sizes=[4]")
    set_status(exp, "B2A/n0012/base/seed0", "diverged")
    assert retain.retain(exp, engine) == []
    assert f"S1T/seed0: left out: its source net {SOURCE} has diverged" in capsys.readouterr().out


def test_a_fresh_classifier_that_diverged_is_no_retention(trained: Experiment, engine: Engine, capsys) -> None:
    exp = load(Path("experiments/quick.yaml"), "sizes=[4]")
    (row,) = retain.retain(exp, engine)
    assert row["new_fc8"] is not None
    retained = load(Path("experiments/quick.yaml"), "conditions=[S1T-retain]")
    set_status(retained, "A2B/n0004/S1T-retain/seed0", "diverged")
    (row,) = retain.retain(exp, engine)
    assert row["new_fc8"] is None and row["own_fc8"] is not None
    assert "new_fc8 is blank: models/quick/A2B/n0004/S1T-retain/seed0 has diverged" in capsys.readouterr().out


@pytest.mark.slow
def test_a_dead_source_net_has_no_t_sne_and_scores_of_no_information(dead: Experiment, engine: Engine) -> None:
    assert status_of(dead, "B2A/n0012/base/seed0") == "stuck"
    assert plot.plot(dead, "caffe") and report.report(dead, "caffe")
    left_out = load_json(RESULTS / "figures/figures.json")["left_out"]
    assert left_out["tsne"] == f"the values of fc2 in {SOURCE} (stuck) are the same for all 80 images"
    exp = load(Path("experiments/quick.yaml"), "sizes=[4] conditions=[S2T]")
    ((row,), _) = scores.scores(exp, engine)
    assert (row["layer"], row["h_score"], row["h_score_shrunk"]) == ("fc2", 0, 0)
    assert row["logme"] == pytest.approx((math.log(2) - 1 - math.log(2 * math.pi)) / 2, abs=1e-5), "of noise alone"
    assert row["accuracy"] is None
