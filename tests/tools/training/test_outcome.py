"""The result of a run, from its log: the headline figures, and which runs are flagged."""

import math
from dataclasses import replace
from pathlib import Path

import pytest

from tests.helpers import trained_project
from tools.caffe_log import LogReader
from tools.nets.templates import Rendered
from tools.protocol.experiment import load
from tools.protocol.runs import runs_of
from tools.run import run_one
from tools.training.engine import Engine
from tools.training.learning import chance_of
from tools.training.outcome import outcome

RENDERED = Rendered("", "", [], train_batch=50, seed=0, accuracy="accuracy", loss="loss")


def log_of(train: list[float], tests: list[tuple[float, float]], weight: float = 1):
    """A log with a display every 10 iterations and the tests spread evenly, the last one at the end.

    `weight` is that of the loss in the net's; a weight of 2 makes the net's loss twice as large.
    """
    reader, step = LogReader(), 10 * len(train) // (len(tests) - 1)
    rows = [f"Iteration {10 * i} (20 iter/s, 0.5s/10 iters), loss = {weight * loss}" for i, loss in enumerate(train)]
    lines = ["Solving Net"]
    for i in range(len(train) + 1):
        if 10 * i % step == 0:
            accuracy, loss = tests[10 * i // step]
            lines += [f"Iteration {10 * i}, Testing net (#0)", f"    Test net output #0: accuracy = {accuracy}"]
            lines += [f"    Test net output #1: loss = {loss} (* 1 = {loss} loss)"]
        if i < len(train):
            lines += [rows[i], f"    Train net output #0: loss = {train[i]} (* {weight} = {weight * train[i]} loss)"]
            lines += [f"Iteration {10 * i}, lr = 0.01"]
    for number, line in enumerate([*lines, "Optimization Done."]):
        reader.feed(f"I0228 10:00:{number // 10:02}.{number % 10}00000  1234 solver.cpp:1] {line}\n")
    return reader.finish()


def told(train, tests, classes=5, outputs=5, val=5000):
    return outcome(log_of(train, tests), RENDERED, classes, outputs, val)


def test_the_headline_is_the_last_test_and_the_best_is_told_beside_it():
    found = told([1.6, 1.0, 0.5, 0.4], [(0.2, 1.6), (0.8, 0.5), (0.7, 0.6)])
    assert (found["accuracy"], found["best_accuracy"], found["best_iter"]) == (0.7, 0.8, 20)
    assert (found["loss"], found["iters"], found["status"]) == (0.6, 40, "ok")
    assert found["images_per_s"] == 20 * 50


FLAGGED = {
    "at chance": ("stuck", [1.61, 1.5, 1.2], [(0.2, 1.6), (0.21, 1.7)]),
    "flat": ("stuck", [1.61, 1.609, 1.61], [(0.2, 1.609), (0.3, 1.608)]),
    "learned, then fell back to chance": ("stuck", [1.6, 0.5, 1.61], [(0.2, 1.6), (0.8, 0.5), (0.2, 1.61)]),
    "NaN in the test": ("diverged", [1.6, 1.0, 0.9], [(0.2, 1.6), (0.2, float("nan"))]),
    "NaN in training": ("diverged", [1.6, 1.0, float("nan")], [(0.2, 1.6), (0.5, 1.0)]),
    "at Caffe's ceiling": ("diverged", [1.6, 87.3365, 87.3365], [(0.2, 1.6), (0.2, 87.3365)]),
}


@pytest.mark.parametrize("status, train, tests", FLAGGED.values(), ids=FLAGGED)
def test_a_run_that_cannot_be_believed_is_flagged(status, train, tests):
    assert told(train, tests)["status"] == status


BELIEVED = {
    "just above chance, with a noisy last batch": ([4.6, 4.58, 4.57], [(0.01, 4.61), (0.0234, 4.4356)], 100, 100),
    "overfitted: a test loss above ln k": ([1.6, 0.1, 0.01], [(0.2, 1.6), (0.4, 3.0)], 5, 5),
    "learned its training images, and nothing beyond": ([1.6, 0.1, 0.01], [(0.2, 1.6), (0.2, 3.0)], 5, 5),
    "a thousand outputs for five classes": ([6.9, 2.0, 1.0], [(0.2, 6.9), (0.6, 1.2)], 5, 1000),
}


@pytest.mark.parametrize("train, tests, classes, outputs", BELIEVED.values(), ids=BELIEVED)
def test_a_run_that_learned_is_believed(train, tests, classes, outputs):
    assert told(train, tests, classes, outputs)["status"] == "ok"


FEW = {
    "by its training loss": ([1.1, 0.5, 0.17], [(0.33, 1.1), (0.63, 0.9), (0.556, 1.2)]),
    "by its training loss alone": ([1.1, 0.5, 0.17], [(0.33, 1.1), (0.33, 1.9), (0.37, 2.2)]),
    "by the loss of its tests": ([1.1, 1.09, 1.05], [(0.33, 1.1), (0.44, 1.0), (0.48, 0.97)]),
    "by an accuracy that none guesses": ([1.1, 1.09, 1.05], [(0.33, 1.1), (0.7, 1.12), (0.7, 1.12)]),
    "by its earlier tests": ([1.1, 1.09, 1.07, 1.05], [(0.33, 1.1), (0.78, 1.12), (0.56, 1.12)]),
    "by many displays": ([1.1] + 30 * [1.02, 0.98], [(0.33, 1.1), (0.33, 1.1)]),
}


@pytest.mark.parametrize("train, tests", FEW.values(), ids=FEW)
def test_a_run_that_learned_is_believed_on_27_validation_images_too(train, tests):
    assert told(train, tests, 3, 3, 27)["status"] == "ok"


FEW_STUCK = {
    "at chance": ([1.1, 1.11, 1.1], [(0.33, 1.1), (0.44, 1.1), (0.48, 1.1)]),
    "by luck below it in one batch": ([1.1, 1.11, 1.0], [(0.33, 1.1), (0.33, 1.1), (0.48, 1.1)]),
    "on few images as it started": ([1.1, 1.11, 1.0], [(0.48, 1.05), (0.48, 1.05), (0.48, 1.05)]),
    "scattered about chance": ([1.2, 0.9] * 30, [(0.33, 1.1), (0.33, 1.1)]),
}


@pytest.mark.parametrize("train, tests", FEW_STUCK.values(), ids=FEW_STUCK)
def test_a_run_without_any_sign_of_learning_is_stuck_on_27_validation_images_too(train, tests):
    assert told(train, tests, 3, 3, 27)["status"] == "stuck"


def test_a_net_that_always_says_the_largest_class_is_stuck_however_large_it_is():
    chance = chance_of([90, 10], [45, 5], 2)
    assert (chance.accuracy, chance.start_loss) == (0.9, math.log(2))
    log = log_of([0.69] + 20 * [0.33, 0.32], [(0.5, 0.69), (0.9, 0.33), (0.9, 0.326)])
    assert outcome(log, RENDERED, 2, 2, 50, chance)["status"] == "stuck"
    assert outcome(log, RENDERED, 2, 2, 50)["status"] == "ok", "what a data set of equal classes would say"
    log = log_of([0.69] + 20 * [0.33, 0.12], [(0.5, 0.69), (0.9, 0.33), (0.96, 0.2)])
    assert outcome(log, RENDERED, 2, 2, 50, chance)["status"] == "ok"


def test_the_training_loss_is_that_of_the_headlines_head():
    """The net's loss has those of other heads in it, or a weight."""
    log = log_of([1.6, 1.6, 1.6, 1.2, 0.7], [(0.2, 1.6), (0.2, 1.9)], weight=3)
    assert outcome(log, replace(RENDERED, training_loss="loss"), 5, 5, 50)["status"] == "ok"
    assert outcome(log, RENDERED, 5, 5, 50)["status"] == "stuck"


def test_a_display_at_iteration_0_alone_says_nothing_of_what_was_learned():
    overfitted = [(0.2, 1.61), (0.6, 1.7)]
    assert outcome(log_of([1.61], overfitted), RENDERED, 5, 5, 500)["status"] == "ok"
    assert outcome(log_of([1.61, 1.61], [(0.2, 1.61), (0.6, 1.7)]), RENDERED, 5, 5, 500)["status"] == "stuck"


def test_values_that_are_no_numbers_before_the_end_are_no_evidence():
    nan, inf = float("nan"), float("inf")
    log = log_of([1.6, nan, 1.6, inf, 1.6, nan, 1.2, inf, 0.7, 0.6], [(0.2, 1.6), (nan, nan), (0.2, 1.6)])
    assert outcome(log, RENDERED, 5, 5, 50)["status"] == "ok"
    log = log_of([1.6, 0.7, 0.6, 0.6], [(0.2, 1.6), (0.7, 1.0), (nan, 0.9)])
    assert outcome(log, RENDERED, 5, 5, 50)["status"] == "diverged"


def test_a_loss_that_is_no_log_loss_says_nothing_and_may_be_large():
    rendered = replace(RENDERED, training_loss=None, is_log_loss=False)
    log = log_of([90.0, 120.0], [(0.2, 100.0), (0.5, 90.0)])
    assert outcome(log, rendered, 5, 5, 500)["status"] == "ok"
    assert outcome(log_of([90.0, 120.0], [(0.2, 100.0), (0.22, 90.0)]), rendered, 5, 5, 500)["status"] == "stuck"
    infinite = log_of([90.0, float("inf")], [(0.2, 100.0), (0.5, 90.0)])
    assert outcome(infinite, rendered, 5, 5, 500)["status"] == "diverged"


@pytest.mark.slow
def test_real_runs_on_six_validation_images_one_that_learned_and_one_that_did_not(
    root: Path, engine: Engine, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setenv("GPUS", "")
    monkeypatch.setattr(trained_project, "VAL", 3)
    trained_project.write_project(root / "images")
    for rate, status in (("0.05", "ok"), ("1e-9", "stuck")):
        exp = load(Path("experiments/quick.yaml"), f"conditions=[base] sizes=[12] test_batch_size=6 base_lr={rate}")
        trained_project.prepare(exp)
        for run in runs_of(exp, engine.name):
            result = run_one(exp, run, engine)["result"]
            assert result["status"] == status, (rate, result)
