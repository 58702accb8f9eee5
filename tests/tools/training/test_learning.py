"""The rule for `stuck`: chance, the tail of a binomial distribution, and the published runs."""

import math

import numpy as np
import pytest
from scipy.stats import binom, entropy

from benchmarks import stuck_rule
from tools.training.learning import LEVEL, chance_of, is_above_chance, is_below_chance, is_stuck


def test_chance_is_that_of_the_best_net_that_gives_all_images_the_same_probabilities() -> None:
    equal = chance_of([7] * 5, [3] * 5, 1000)
    assert (equal.accuracy, equal.loss, equal.training_loss) == (0.2, math.log(5), math.log(5))
    assert equal.start_loss == math.log(1000)
    unequal = chance_of([6, 3, 1], [5, 3, 2], 3)
    assert unequal.accuracy == 0.5
    assert unequal.loss == pytest.approx(entropy([5, 3, 2])) and unequal.training_loss == pytest.approx(
        entropy([6, 3, 1])
    )


@pytest.mark.parametrize("images", [4, 27, 100, 5000])
@pytest.mark.parametrize("classes", [2, 3, 100])
def test_the_last_test_is_above_chance_where_scipys_tail_says_so(images: int, classes: int) -> None:
    chance = chance_of([1] * classes, [1] * classes, classes)
    counts = range(images + 1) if images < 1000 else range(0, 300 if classes == 100 else images + 1, 7)
    for right in counts:
        expected = binom.sf(right - 1, images, 1 / classes) <= LEVEL
        assert is_above_chance([0.0, right / images], images, chance) == expected, right


def test_a_scatter_is_not_taken_for_learning_and_alike_displays_count_as_fewer() -> None:
    chance = chance_of([1, 1, 1], [1, 1, 1], 3)
    scattered = [1.1 + 0.1 * (-1) ** i for i in range(40)]
    assert not is_below_chance(scattered, chance)
    assert is_below_chance([value - 0.25 for value in scattered], chance)
    wave = [1.06 + 0.05 * math.sin(i / 8) for i in range(400)]
    assert not is_below_chance(wave[:150], chance)
    assert is_below_chance([0.5], chance) and not is_below_chance([], chance)
    assert not is_below_chance([0.6], chance), "one display has no scatter"


def test_no_published_verdict_changes(capsys: pytest.CaptureFixture) -> None:
    stuck_rule.published()
    assert capsys.readouterr().out.splitlines() == [
        "docs/results/demo: 418 of 418 verdicts as published",
        "docs/results/tiny-small: 122 of 122 verdicts as published",
        "docs/results/tiny-40: 456 of 456 verdicts as published",
        "docs/results/places-40: 84 of 84 verdicts as published",
    ]


def test_made_up_runs_that_did_not_learn_are_stuck_and_those_that_did_are_not() -> None:
    random = np.random.RandomState(2)
    few = stuck_rule.SETTINGS[1]
    chance = chance_of([1] * few.classes, [1] * few.classes, few.classes)
    for made, stuck in (
        (stuck_rule.dead(random, few, 50), 50),
        (stuck_rule.untrained(random, few, 50), 50),
        (stuck_rule.learned(random, few, 50, 0.15, 0.55, 0.6), 0),
        (stuck_rule.learned(random, few, 50, 0.92, 0.4, 0.96), 0),
        (stuck_rule.learned(random, few, 50, 0.05, 1 / 3, 1.5), 0),
    ):
        assert sum(is_stuck(run, chance) for run in made) == stuck
