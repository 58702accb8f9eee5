"""The verb verify: its exit status, and what it prints."""

import re
from pathlib import Path

import pytest

from tests.helpers.flipped import flip
from tools.common.checkout import CHECKOUT
from tools.common.errors import UserError
from tools.protocol.experiment import Experiment
from tools.protocol.runs import find_run
from tools.verify import main

KEY = "A2B/n0004/S1T/seed0"


def test_no_fault_is_0_and_a_fault_is_1_with_the_command_that_mends_it(
    trained: Experiment, capsys: pytest.CaptureFixture
) -> None:
    assert main(["experiments/quick.yaml"]) == 0
    out = capsys.readouterr().out.splitlines()
    assert out[0] == "not finished: summarize, claims, plot and 1 more"
    assert re.fullmatch(r"no fault in what there is: \d+ files as recorded, 2 copying runs proven again", out[1])
    folder = find_run(trained, "caffe", KEY).folder
    flip(folder / "plan.txt")
    assert main(["experiments/quick.yaml"]) == 1
    out = capsys.readouterr().out.splitlines()
    assert out[0].startswith(f"{folder}/plan.txt: not the bytes that were recorded: sha256 ")
    assert re.fullmatch(rf"    \S+python\S* -m tools render experiments/quick.yaml {KEY}", out[1])
    assert out[-1].startswith("1 fault; ")


def test_fast_leaves_out_the_large_files(trained: Experiment, capsys: pytest.CaptureFixture) -> None:
    flip(find_run(trained, "caffe", KEY).folder / "net_iter_40.caffemodel")
    assert main(["experiments/quick.yaml", "--fast"]) == 0
    assert "--fast leaves out LMDBs, nets and what nets prove" in capsys.readouterr().out
    assert main(["experiments/quick.yaml"]) == 1


def test_runs_that_are_trained_again_are_drawn_by_a_seed_that_is_told(
    trained: Experiment, capsys: pytest.CaptureFixture
) -> None:
    assert main(["experiments/quick.yaml", "--fast", "--rerun", "1", "--seed", "3"]) == 0
    out = capsys.readouterr().out.splitlines()
    assert out[0] == "trains 1 of 5 runs again, drawn by --seed 3"
    assert re.fullmatch(r"\w+/\w+/\w+/seed0: trained again: the same net, byte by byte", out[1])
    for wrong in ("0", "-1", "two"):
        with pytest.raises(SystemExit):
            main(["experiments/quick.yaml", "--rerun", wrong])
        assert "not a number of runs, 1 or more" in capsys.readouterr().err


def test_an_experiment_of_which_nothing_is_there_is_not_finished(trained: Experiment, capsys) -> None:
    assert main(["experiments/quick.yaml", "--set", "max_iter=20"]) == 0
    assert "not finished: B2A/n0012/base/seed0, A2B/n0012/base/seed0, " in capsys.readouterr().out
    assert not Path("results").exists()


def test_published_results_are_looked_at_alone(trained: Experiment, capsys: pytest.CaptureFixture) -> None:
    folder = str(CHECKOUT / "docs" / "results" / "demo")
    assert main(["experiments/quick.yaml", "--from", folder]) == 0
    assert capsys.readouterr().out.splitlines()[-1].startswith("no fault: ")
    with pytest.raises(UserError, match="published results have no nets"):
        main(["experiments/quick.yaml", "--from", folder, "--rerun", "1"])
