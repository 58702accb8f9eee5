"""How long an experiment will take: one iteration measured by real Caffe, remembered, and multiplied."""

from dataclasses import replace
from datetime import datetime
from pathlib import Path
from time import monotonic

import pytest

from tests.helpers.shell_scripts import stand_in
from tools.common.errors import UserError
from tools.common.files import load_json, write_json
from tools.planning.estimate import (
    makespan,
    max_iter,
    seconds_of_run,
    seconds_per_iteration,
    time_left,
    time_left_on_cluster,
)
from tools.planning.state import Plan
from tools.protocol.experiment import Experiment, load
from tools.protocol.layout import Run
from tools.protocol.runs import find_run
from tools.training.engine import Engine

BOTH = r"(?s)^prototxt/three/train_val.prototxt with solvers/quick.prototxt: caffe could not train the templates"
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
    [
        (0.15, 1, "31 minutes"),
        (0.9, 1, "3.1 hours"),
        (0.9, 2, "2.1 hours"),
        (0.9, 8, "1.0 hours"),
        (36, 1, "125 hours"),
    ],
)
def test_the_time_left_counts_every_untrained_run_as_a_base_training(
    trained: Experiment, engine: Engine, seconds: float, jobs: int, text: str
) -> None:
    """Each has 4,000 iterations of 8 images, and 82 tests and predictions of 40: forward, as 164 iterations more."""
    exp = load(Path("experiments/quick.yaml"), "max_iter=4000 test_interval=50 test_batch_size=40")
    name = exp.name
    seconds_per_iteration(exp, engine, jobs)
    file = Path(f"results/{name}/iteration.json")
    write_json(file, {key: record | {"seconds": seconds} for key, record in load_json(file).items()})
    runs = [Run(name, "A2B", 4, f"S{n}T", 0) for n in (1, 1, 1, 1)]
    runs = [replace(run, seed=0, size=size) for run, size in zip(runs, (4, 12, 4, 12), strict=True)]
    runs[2:] = [replace(run, condition="base") for run in runs[2:]]
    states = dict(zip(runs, ("waiting", "failed", "stale: mean changed", "done"), strict=True))
    what = f"3 runs of 4,000 iterations of {seconds:.3f} s, {jobs} at a time, tests and predictions included"
    sentence = time_left(exp, engine, Plan({}, states), jobs)
    assert sentence.startswith(f"Time left: at most about {text} of training: {what}\n")
    assert time_left(exp, engine, Plan({}, {runs[0]: "done"}), jobs) == "Nothing is left to train."


def test_of_a_cluster_the_time_left_is_what_a_job_has_measured(trained: Experiment, engine: Engine) -> None:
    """The machine that submits trains nothing: it may have no GPU, and is not to be worked on."""
    plan = Plan({}, {Run("quick", "A2B", 4, "base", 0): "waiting"})
    said = "Time left: not known: the first job that trains measures an iteration (1 runs)."
    assert time_left_on_cluster(trained, engine, plan, 8) == said and not MEMORY.exists()
    other = {"seconds": 9.0, "device": "0", "engine": "caffe version 0.9"}
    write_json(MEMORY, {"a": other | {"seconds": 90.0, "engine": "caffe version 1.0.0"}, "b": other})
    said = time_left_on_cluster(trained, engine, plan, 8)
    assert "1 runs of 40 iterations of 90.000 s, 8 at a time" in said and "(measured on GPU 0: an iteration" in said
    assert time_left_on_cluster(trained, engine, Plan({}, {}), 8) == "Nothing is left to train."


def test_runs_are_counted_as_they_can_run(trained: Experiment) -> None:
    """Not more at a time than there are, and a run after the one that it copies from."""
    source, a, b, c = (Run("quick", "A2B", 4, f"S{n}T", 0) for n in range(4))
    seconds = dict.fromkeys((source, a, b, c), 10.0)
    copies = dict.fromkeys((a, b, c), source)
    assert [makespan(seconds, {}, jobs) for jobs in (1, 2, 3, 4, 100)] == [40, 20, 20, 10, 10]
    assert [makespan(seconds, copies, jobs) for jobs in (1, 2, 3, 100)] == [40, 30, 20, 20]


def test_the_estimate_is_near_the_time_that_a_run_takes(trained: Experiment, engine: Engine) -> None:
    """Within a factor: the run's own log says how long its iterations took, and its manifest how long all of it."""
    run = find_run(trained, "caffe", "A2B/n0012/base/seed0")
    manifest = load_json(run.manifest)
    began, ended = (datetime.fromisoformat(manifest[key]) for key in ("began", "ended"))
    seconds = seconds_per_iteration(trained, engine, 1)
    assert 0.3 * (ended - began).total_seconds() < seconds_of_run(trained, run, seconds) < 30


def test_other_trainings_run_beside_the_measured_one_and_are_ended(
    trained: Experiment, caffe: Path, tmp_path: Path
) -> None:
    """With three jobs two more engines train, longer than the measurement takes; none is left."""
    log = tmp_path / "started"
    script = f'[ "$1" = --version ] || echo $$ $* >> {log}; exec {caffe} "$@"'
    seconds_per_iteration(trained, Engine(stand_in(tmp_path / "bin", "caffe", script)), 3)
    lines = [line.split() for line in log.read_text().splitlines()]
    assert [line[2].rpartition("/")[2] for line in lines] == ["long.prototxt", "long.prototxt", "solver.prototxt"]
    assert not any(Path(f"/proc/{line[0]}").exists() for line in lines)


def test_the_iterations_are_the_experiments_else_the_solvers(trained: Experiment) -> None:
    assert max_iter(trained) == 40
    assert max_iter(load(Path("experiments/quick.yaml"), "max_iter=7")) == 7


def test_an_engine_that_cannot_train_the_template_is_told_before_the_sweep(trained: Experiment, tmp_path: Path) -> None:
    broken = stand_in(tmp_path / "bin", "caffe", '[ "$1" = --version ] && echo v || { echo no memory >&2; exit 1; }')
    with pytest.raises(UserError, match=BOTH + r"; it said last:\n    no memory"):
        seconds_per_iteration(trained, Engine(broken), 1)


@pytest.mark.parametrize(
    "more",
    [
        'test_state { stage: "v" }',
        'test_state { stage: "v" } test_state { stage: "w" } test_iter: 1',
        'train_net: "x" test_net: "y"',
        'train_net_param { name: "x" }',
        "solver_mode: GPU",
        "snapshot_format: HDF5 test_initialization: false test_compute_loss: true",
    ],
)
def test_what_a_solver_says_of_other_nets_and_tests_does_not_end_the_measurement(
    trained: Experiment, engine: Engine, more: str
) -> None:
    solver = Path("solvers/quick.prototxt")
    solver.write_text(solver.read_text().replace("solver_mode: CPU", "") + more)
    assert 0 < seconds_per_iteration(trained, engine, 1) < 5


def test_what_caffe_refuses_in_the_test_phase_alone_is_told_before_the_sweep(
    trained: Experiment, engine: Engine
) -> None:
    net = Path("prototxt/three/train_val.prototxt")
    train, scale, test = net.read_text().partition("include { phase: TEST }\n  transform_param { scale: 0.0078125")
    net.write_text(f"{train}{scale} crop_size: 8{test}")
    told = BOTH + r"; it said last:\n.*Cannot share param 0 weights from layer 'fc2'; shape mismatch"
    with pytest.raises(UserError, match=told):
        seconds_per_iteration(trained, engine, 1)
    assert not MEMORY.exists()


def test_the_test_before_the_measured_iterations_takes_none_of_their_time(trained: Experiment, engine: Engine) -> None:
    exp = load(Path("experiments/quick.yaml"), "test_batch_size=100000")
    begin = monotonic()
    seconds = seconds_per_iteration(exp, engine, 1)
    assert seconds < (monotonic() - begin) / 20


def test_an_accuracy_of_more_scores_than_the_template_has_outputs_does_not_end_the_measurement(
    trained: Experiment, engine: Engine
) -> None:
    net = Path("prototxt/three/train_val.prototxt")
    more = 'layer { name: "two" type: "Accuracy" bottom: "fc3" bottom: "label" top: "two" accuracy_param { top_k: 2 } }'
    net.write_text(net.read_text() + more)
    assert 0 < seconds_per_iteration(trained, engine, 1) < 5


STAGED = {
    "two test sets": ("include { phase: TEST }", 'include { phase: TEST stage: "own" }', "test_state"),
    "two training sets": ("include { phase: TRAIN }", 'include { phase: TRAIN stage: "own" }', "train_state"),
}


@pytest.mark.parametrize(("rule", "own", "state"), STAGED.values(), ids=STAGED)
def test_of_two_data_layers_of_a_phase_the_one_that_the_solver_chooses_counts(
    trained: Experiment, engine: Engine, rule: str, own: str, state: str
) -> None:
    net, solver = Path("prototxt/three/train_val.prototxt"), Path("solvers/quick.prototxt")
    run = find_run(trained, "caffe", "A2B/n0012/base/seed0")
    before = seconds_of_run(trained, run, 1.0)
    first = next(line for line in net.read_text().split("layer {") if rule in line)
    other = "layer {" + first.replace(rule, own.replace("stage", "not_stage")).replace("batch_size: 1", "batch_size: 7")
    net.write_text(net.read_text().replace(rule, own) + other)
    solver.write_text(solver.read_text() + f'{state} {{ stage: "own" }}')
    assert seconds_of_run(trained, run, 1.0) == before
    assert 0 < seconds_per_iteration(trained, engine, 1) < 5


def test_layers_that_the_nets_own_stage_chooses_are_measured(trained: Experiment, engine: Engine) -> None:
    net = Path("prototxt/three/train_val.prototxt")
    staged = net.read_text().replace('{ name: "fc2"', '{ include { stage: "s" } name: "fc2"')
    net.write_text('state { stage: "s" }\n' + staged)
    assert 0 < seconds_per_iteration(trained, engine, 1) < 5


FAULTS = {
    "prints without an end": (
        "exec yes",
        BOTH + r": it printed more than 16,777,216",
    ),
    "prints a line without an end": ("exec tr '\\0' x < /dev/zero", r"it printed more than 16,777,216 bytes, and was"),
    "hangs": ("echo here; exec sleep 600", r"(?s)it printed no line for 1 s \(ENGINE.*it said last:\n    here"),
    "prints what is no text": (
        "head -c 100000 /dev/urandom",
        BOTH + r"; it said last",
    ),
}


@pytest.mark.parametrize(("script", "reason"), FAULTS.values(), ids=FAULTS)
def test_an_engine_that_floods_or_hangs_in_the_measurement_is_ended(
    trained: Experiment, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, script: str, reason: str
) -> None:
    monkeypatch.setenv("ENGINE_SILENCE", "1")
    broken = stand_in(tmp_path / "bin", "caffe", f'[ "$1" = --version ] && echo v && exit; {script}')
    with pytest.raises(UserError, match=reason):
        seconds_per_iteration(trained, Engine(broken), 1)
    assert not MEMORY.exists()
