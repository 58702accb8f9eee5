"""How long an experiment will take: one iteration measured by real Caffe, remembered, and multiplied."""

from pathlib import Path

import pytest

from tests.helpers.shell_scripts import stand_in
from tools.common.errors import UserError
from tools.common.files import load_json, write_json
from tools.planning.estimate import max_iter, seconds_per_iteration, time_left
from tools.planning.state import Plan
from tools.protocol.experiment import Experiment, load
from tools.protocol.layout import Run
from tools.training.engine import Engine

MEMORY = Path("results/quick/iteration.json")


def test_an_iteration_is_measured_once_by_the_engine_itself(trained: Experiment, engine: Engine) -> None:
    seconds = seconds_per_iteration(trained, engine, 1)
    assert 0 < seconds < 5
    ((key, record),) = load_json(MEMORY).items()
    assert record == {"seconds": seconds, "device": "cpu, 1 threads", "engine": "caffe version 1.0.0"}
    write_json(MEMORY, {key: record | {"seconds": 0.25}})
    assert seconds_per_iteration(trained, engine, 1) == 0.25
    seconds_per_iteration(load(Path("experiments/quick.yaml"), "train_batch_size=2"), engine, 1)
    assert Path("results/quick+train_batch_size=2/iteration.json").is_file()


@pytest.mark.parametrize(
    ("seconds", "jobs", "text"),
    [(0.15, 1, "30 minutes"), (0.9, 1, "3.0 hours"), (0.9, 2, "1.5 hours"), (36, 1, "120 hours")],
)
def test_the_time_left_counts_every_untrained_run_as_a_base_training(
    trained: Experiment, engine: Engine, monkeypatch: pytest.MonkeyPatch, seconds: float, jobs: int, text: str
) -> None:
    exp = load(Path("experiments/quick.yaml"), "max_iter=4000")
    seconds_per_iteration(exp, engine, jobs)
    file = Path("results/quick+max_iter=4000/iteration.json")
    write_json(file, {key: record | {"seconds": seconds} for key, record in load_json(file).items()})
    runs = [Run(exp.name, "A2B", 4, f"S{n}T", 0) for n in (1, 2, 3, 4)]
    states = dict(zip(runs, ("waiting", "failed", "stale: mean changed", "done"), strict=True))
    sentence = time_left(exp, engine, Plan({}, states), jobs)
    assert sentence.startswith(
        f"Time left: at most about {text} of training: 3 runs of 4,000 iterations of {seconds:.3f} s"
    )
    assert time_left(exp, engine, Plan({}, {runs[0]: "done"}), jobs) == "Nothing is left to train."


def test_the_iterations_are_the_experiments_else_the_solvers(trained: Experiment) -> None:
    assert max_iter(trained) == 40
    assert max_iter(load(Path("experiments/quick.yaml"), "max_iter=7")) == 7


def test_an_engine_that_cannot_train_the_template_is_told_before_the_sweep(trained: Experiment, tmp_path: Path) -> None:
    broken = stand_in(tmp_path / "bin", "caffe", '[ "$1" = --version ] && echo v || { echo no memory >&2; exit 1; }')
    with pytest.raises(UserError, match=r"(?s)three: caffe could not train the template; it said last:\n    no memory"):
        seconds_per_iteration(trained, Engine(broken), 1)
