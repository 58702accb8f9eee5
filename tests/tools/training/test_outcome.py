"""The result of a run, from its log: the headline figures, and which runs are flagged."""

from types import SimpleNamespace

import pytest

from tools.caffe_log import LogReader
from tools.training.outcome import outcome

RENDERED = SimpleNamespace(accuracy="accuracy", loss="loss", train_batch=50)


def log_of(train: list[float], tests: list[tuple[float, float]]):
    """A log with a display every 10 iterations and the tests spread evenly, the last one at the end."""
    reader, step = LogReader(), 10 * len(train) // (len(tests) - 1)
    rows = [f"Iteration {10 * i} (20 iter/s, 0.5s/10 iters), loss = {loss}" for i, loss in enumerate(train)]
    lines = ["Solving Net"]
    for i in range(len(train) + 1):
        if 10 * i % step == 0:
            accuracy, loss = tests[10 * i // step]
            lines += [f"Iteration {10 * i}, Testing net (#0)", f"    Test net output #0: accuracy = {accuracy}"]
            lines += [f"    Test net output #1: loss = {loss} (* 1 = {loss} loss)"]
        if i < len(train):
            lines += [rows[i], f"Iteration {10 * i}, lr = 0.01"]
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
    "a thousand outputs for five classes": ([6.9, 2.0, 1.0], [(0.2, 6.9), (0.6, 1.2)], 5, 1000),
}


@pytest.mark.parametrize("train, tests, classes, outputs", BELIEVED.values(), ids=BELIEVED)
def test_a_run_that_learned_is_believed(train, tests, classes, outputs):
    assert told(train, tests, classes, outputs)["status"] == "ok"
