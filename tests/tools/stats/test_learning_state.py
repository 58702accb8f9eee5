"""Still learning, flat or past the best: of curves whose answer is known."""

import numpy as np
import pytest

from tools.stats.learning_state import FLAT, LEARNING, PAST_BEST, learning_state, validation_curves

ITERATIONS = range(100, 1001, 100)


def curve(loss) -> dict[int, float]:
    return {iteration: loss(iteration / 1000) for iteration in ITERATIONS}


@pytest.mark.parametrize(
    ("loss", "state"),
    [
        (lambda t: 2 - t, LEARNING),
        (lambda t: 1 + np.exp(-3 * t), LEARNING),
        (lambda t: 1 + np.exp(-10 * t), FLAT),
        (lambda t: 1 + (t - 0.5) ** 2, PAST_BEST),
        (lambda t: 1.5, FLAT),
        (lambda t: 2 - t if t < 0.85 else 1.2, FLAT),  # fell, then rose by less than a percent of its best
    ],
)
def test_the_end_of_a_curve(loss, state):
    assert learning_state([curve(loss)]) == state


def test_the_mean_of_the_runs_decides_not_one_of_them():
    noise = np.random.RandomState(0)
    runs = [curve(lambda t: 2 - 0.3 * t + noise.normal(0, 0.05)) for _ in range(40)]
    assert learning_state(runs) == LEARNING
    assert len({learning_state([run]) for run in runs}) > 1, "a single one of these is too noisy"


@pytest.mark.parametrize("iterations", [[], [1000], [900, 1000]])
def test_with_too_few_tests_nothing_is_said(iterations):
    assert learning_state([{iteration: 1.0 for iteration in iterations}]) is None
    assert learning_state([]) is None


def test_a_loss_that_is_not_a_number_says_nothing():
    assert learning_state([curve(lambda t: float("nan"))]) is None


def test_the_test_before_the_training_does_not_count():
    rows = [
        {"run": "r", "iteration": iteration, "validation_loss": loss}
        for iteration, loss in ((0, 3.0), (20, None), (100, 2.0), (200, 1.5))
    ]
    assert validation_curves(rows) == {"r": {100: 2.0, 200: 1.5}}
