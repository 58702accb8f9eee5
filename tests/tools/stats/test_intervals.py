"""Contrasts by seeds and by images, compared with scipy's and statsmodels' own tests of the same numbers."""

import math

import numpy as np
import pytest
from scipy import stats

from tools.stats.intervals import Measurements

DIFFERENCE = {(60, "S3T"): 1.0, (60, "base"): -1.0}


def run(direction: str, condition: str, seed: int, accuracy: float, status: str = "ok", size: int = 60) -> dict:
    key = f"{direction}/n{size:04d}/{condition}/seed{seed}"
    place = {"direction": direction, "size": size, "condition": condition, "seed": seed}
    return place | {"accuracy": accuracy, "status": status, "run": f"models/x/{key}"}


def paired(accuracies: dict[int, tuple[float, float]]) -> list[dict]:
    """Seed -> accuracy of base and S3T in A2B; B2A has ten points more of both."""
    return [
        run(direction, condition, seed, value + more)
        for seed, pair in accuracies.items()
        for condition, value in zip(("base", "S3T"), pair, strict=True)
        for direction, more in (("A2B", 0.0), ("B2A", 0.1))
    ]


def test_a_difference_is_the_paired_t_test_over_the_seeds_means():
    pairs = {0: (0.50, 0.53), 1: (0.40, 0.42), 2: (0.60, 0.65), 3: (0.45, 0.46)}
    found = Measurements(paired(pairs)).estimate(DIFFERENCE)
    base, other = zip(*pairs.values(), strict=True)
    test = stats.ttest_rel(other, base, alternative="greater")
    interval = stats.ttest_rel(other, base).confidence_interval(0.95)
    assert (found.unit, found.seeds, len(found.runs)) == ("seeds", 4, 16)
    assert found.effect == pytest.approx(0.0275)
    assert found.p_above() == pytest.approx(test.pvalue)
    assert found.p_below() == pytest.approx(1 - test.pvalue)
    assert found.interval == pytest.approx((interval.low, interval.high))


def test_a_seed_without_all_of_its_runs_does_not_count():
    rows = paired({0: (0.50, 0.53), 1: (0.40, 0.42), 2: (0.60, 0.65)})
    rows[-1]["status"] = "stuck"
    measured = Measurements(rows)
    assert sorted(measured.by_seed(DIFFERENCE)) == [0, 1]
    assert sorted(measured.by_seed({(60, "base"): 1.0})) == [0, 1, 2]
    assert measured.estimate({(60, "S5T"): 1.0}) is None


def test_a_direction_that_a_condition_has_no_runs_of_is_left_out_of_both():
    rows = [
        row for row in paired({0: (0.5, 0.6), 1: (0.5, 0.6)}) if (row["condition"], row["direction"]) != ("S3T", "B2A")
    ]
    found = Measurements(rows).estimate(DIFFERENCE)
    assert (found.effect, len(found.runs)) == (pytest.approx(0.1), 4)


def test_a_direction_whose_runs_are_all_lost_is_not_left_out():
    """The other direction alone would be another quantity than the mean of both."""
    rows = paired({0: (0.50, 0.53), 1: (0.40, 0.42), 2: (0.60, 0.65)})
    of_b = [row for row in rows if (row["direction"], row["condition"]) == ("B2A", "S3T")]
    for row in of_b:
        row["status"] = "diverged"
    assert Measurements(rows).estimate(DIFFERENCE) is None
    of_b[1]["status"] = "ok"
    assert Measurements(rows).estimate(DIFFERENCE).seeds == 1


def test_one_seed_compares_two_nets_image_by_image_as_mcnemars_test_does():
    random = np.random.RandomState(0)
    rows, predictions, discordant = [], {}, [0, 0]
    for direction in ("A2B", "B2A"):
        predictions[f"label/{direction}/seed0"] = np.ones(1000, np.uint16)
        base = random.uniform(size=1000) < 0.5
        other = np.where(random.uniform(size=1000) < 0.1, ~base, base) | (random.uniform(size=1000) < 0.03)
        discordant[0] += int((other & ~base).sum())
        discordant[1] += int((base & ~other).sum())
        for condition, right in (("base", base), ("S3T", other)):
            rows.append(run(direction, condition, 0, right.mean()))
            predictions["/".join(rows[-1]["run"].split("/")[-4:])] = right.astype(np.uint16)
    found = Measurements(rows, predictions).estimate(DIFFERENCE)
    more, less = discordant
    assert (found.unit, found.seeds) == ("images", 1)
    assert found.effect == pytest.approx((more - less) / 2000)
    assert found.effect / found.se == pytest.approx((more - less) / math.sqrt(more + less), rel=0.02)
    assert Measurements(rows).estimate(DIFFERENCE).unit == "" and math.isnan(
        Measurements(rows).estimate(DIFFERENCE).p_above()
    )


def test_values_in_steps_are_never_surer_than_their_rounding():
    rows = [run("A2B", "base", seed, 0.5) for seed in range(3)]
    values = {f"A2B/n0060/base/seed{seed}": 9000.0 for seed in range(3)}
    found = Measurements(rows, values=values, resolution=1000).estimate({(60, "base"): 1.0})
    assert found.se == pytest.approx(1000 / math.sqrt(12) / math.sqrt(3))


def test_two_seeds_that_agree_by_chance_are_no_proof():
    """Both differences are 11 of 10,000 images: a spread of 0, and p = 0, were it not for the steps of one image."""
    rows = paired({0: (0.5, 0.5011), 1: (0.42, 0.4211)})
    predictions = {f"label/{d}/seed{seed}": np.ones(10_000, np.uint16) for d in ("A2B", "B2A") for seed in (0, 1)}
    predictions |= {"/".join(row["run"].split("/")[-4:]): np.ones(10_000, np.uint16) for row in rows}
    found = Measurements(rows, predictions).estimate(DIFFERENCE)
    assert found.se == pytest.approx(1e-4 / math.sqrt(12) / math.sqrt(2))
    assert 2 * found.p_above() > 0.01
    without = Measurements(rows).estimate(DIFFERENCE)
    assert without.se == pytest.approx(0.0011 / math.sqrt(12) / math.sqrt(2)), "the least distance of two accuracies"


def test_images_that_seeds_share_do_not_count_twice():
    random, rows, predictions = np.random.RandomState(0), [], {}
    for seed in range(4):
        predictions[f"label/A2B/seed{seed}"] = np.ones(1000, np.uint16)
    for condition in ("base", "S3T"):
        right = random.uniform(size=1000) < 0.5
        for seed in range(4):  # the same nets, again and again
            rows.append(run("A2B", condition, seed, right.mean()))
            predictions["/".join(rows[-1]["run"].split("/")[-4:])] = right.astype(np.uint16)
    one = Measurements(rows[::4], predictions).estimate(DIFFERENCE)
    four = Measurements(rows, predictions, these_nets=True).estimate(DIFFERENCE)
    assert (one.seeds, four.seeds, four.unit) == (1, 4, "images")
    assert four.se == pytest.approx(one.se) and four.effect == pytest.approx(one.effect)


def test_draws_of_a_sample_have_the_intervals_of_the_estimates_over_seeds():
    pairs = {0: (0.50, 0.53), 1: (0.40, 0.42), 2: (0.60, 0.65), 3: (0.45, 0.46)}
    measured = Measurements(paired(pairs))
    sample = measured.sample([(60, "base"), (60, "S3T")])
    draws = sample.draws(40000, np.random.RandomState(0))
    assert (sample.unit, sample.seeds, sample.df) == ("seeds", [0, 1, 2, 3], 3)
    assert sample.mean == pytest.approx([0.5375, 0.565])
    for weights, values in ((DIFFERENCE, draws[:, 1] - draws[:, 0]), ({(60, "base"): 1.0}, draws[:, 0])):
        low, high = measured.estimate(weights).interval
        assert np.quantile(values, [0.025, 0.975]) == pytest.approx([low, high], abs=0.04 * (high - low))


def test_draws_of_one_seed_vary_over_the_images_and_without_predictions_not_at_all():
    random, predictions, rows = np.random.RandomState(0), {}, []
    for direction in ("A2B", "B2A"):
        predictions[f"label/{direction}/seed0"] = np.ones(1000, np.uint16)
        difficulty = random.uniform(size=1000)
        for condition, level in (("base", 0.5), ("S3T", 0.6)):
            right = difficulty + random.normal(0, 0.1, 1000) < level
            rows.append(run(direction, condition, 0, right.mean()))
            predictions["/".join(rows[-1]["run"].split("/")[-4:])] = right.astype(np.uint16)
    measured = Measurements(rows, predictions)
    sample = measured.sample([(60, "base"), (60, "S3T")])
    draws = sample.draws(40000, random)
    low, high = measured.estimate(DIFFERENCE).interval
    assert sample.unit == "images"
    ends = np.quantile(draws[:, 1] - draws[:, 0], [0.025, 0.975])
    assert ends == pytest.approx([low, high], abs=0.04 * (high - low))
    unknown = Measurements(rows).sample([(60, "base"), (60, "S3T")])
    assert unknown.unit == "" and (unknown.draws(5, random) == unknown.mean).all()


def test_seeds_that_agree_by_chance_vary_by_the_rounding_in_a_sample_as_in_an_estimate():
    measured = Measurements(paired({0: (0.5, 0.6), 1: (0.5, 0.7), 2: (0.5, 0.6)}))
    sample = measured.sample([(60, "base"), (60, "S3T")])
    assert np.sqrt(np.diag(sample.covariance)) == pytest.approx(
        [measured.estimate({(60, condition): 1.0}).se for condition in ("base", "S3T")]
    )
    assert sample.covariance[0, 0] > 0


def test_a_sample_is_of_the_seeds_that_have_all_runs():
    rows = paired({0: (0.50, 0.53), 1: (0.40, 0.42), 2: (0.60, 0.65)})
    rows[-1]["status"] = "stuck"
    assert Measurements(rows).sample([(60, "base"), (60, "S3T")]).seeds == [0, 1]
    assert Measurements(rows).sample([(60, "S5T")]) is None
