"""The commands that mend: they name the engine and the overrides, and select the run that they are about."""

import shlex
from pathlib import Path

import pytest

from tools.common.files import write_atomic
from tools.protocol.experiment import Experiment, load
from tools.protocol.layout import Run
from tools.protocol.runs import find_run
from tools.verification.commands import Commands, with_keys

RUN = "A2B/n0004/S1T/seed0"


def test_the_engine_and_the_overrides_are_in_the_command(trained: Experiment) -> None:
    exp = load(trained.file, "max_iter=20 sizes=[4]")
    assert Commands(exp, "torchcaffe", ".venv/bin/python").sweep() == (
        "CAFFE=torchcaffe .venv/bin/python -m tools sweep experiments/quick.yaml --set 'max_iter=20 sizes=[4]'"
    )


def test_a_run_that_the_experiment_does_not_select_is_selected(trained: Experiment) -> None:
    exp = load(trained.file, "sizes=[12] max_iter=20 conditions=[base]")
    run = Run("quick+max_iter=20", "A2B", 4, "S1T", 3)
    command = shlex.split(Commands(exp, "caffe", "python").of_run("render", run))
    assert command[-1] == "max_iter=20 sizes=[4] conditions=[S1T] directions=[A2B] seeds=[3]"
    assert find_run(load(trained.file, command[-1]), "caffe", run.key) == run


def test_data_of_another_seed_are_made_with_that_seed(trained: Experiment) -> None:
    commands = Commands(trained, "caffe", "python")
    assert commands.of_data("split", seed=0, sizes=[12]) == "python -m tools split experiments/quick.yaml"
    assert "'seeds=[2] sizes=[12,4]' && python" in commands.of_data("pack", "mean", seed=2, sizes=[12, 4])


def test_a_log_is_the_start_of_a_csv_and_a_net_of_predictions(trained: Experiment) -> None:
    commands, run = Commands(trained, "caffe", "python"), find_run(trained, "caffe", RUN)
    assert commands.parse(run) == f"python -m tools parse {run.folder}/caffe.log {run.folder}"
    again = commands.without(run, "predictions.npz")
    assert again == f"rm -f {run.folder}/predictions.npz && python -m tools sweep experiments/quick.yaml"
    (run.folder / "net_iter_40.caffemodel").unlink()
    again = commands.without(run, "predictions.npz")
    assert again == f"rm -r {run.folder} && python -m tools sweep experiments/quick.yaml", "it is trained again"


def test_a_restored_run_comes_from_what_was_published(trained: Experiment) -> None:
    commands, run = Commands(trained, "caffe", "python"), find_run(trained, "caffe", RUN)
    write_atomic(run.folder / "curves.csv", "")
    assert "restore" not in commands.train_again(run), "nothing is published here"
    write_atomic(Path("docs/results/quick/manifests.jsonl"), "")
    assert "&& python -m tools restore experiments/quick.yaml && " in commands.train_again(run)


@pytest.mark.parametrize("value", ["[1,2]", "'a b'", '"a b"', "a-b"])
def test_keys_of_overrides_are_replaced(value: str) -> None:
    assert with_keys(f"a=1 path={value} b=[2]", {"path"}, path="/x") == "a=1 b=[2] path=/x"
    assert with_keys(f"path={value}", {"path"}) == ""
