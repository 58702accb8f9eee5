"""Learning curves: known ones are found again, bounds hold, and weighted fits agree with scipy's."""

import numpy as np
import pytest
from scipy.optimize import lsq_linear

from tools.stats.learning_curve import EXPONENTIAL, HELD_C, POWER, Curves, fit, smooth_variances

SIZES = np.array([50.0, 100, 200, 300, 400, 500])
EQUAL = np.ones(6)


@pytest.mark.parametrize(("a", "b", "c"), [(0.35, 2.6, 0.5), (0.1, 1.75, 0.25), (0.48, 12.0, 1.0), (0.0, 1.2, 0.3)])
def test_a_known_power_law_is_found_again_and_solved(a: float, b: float, c: float):
    found = fit(POWER, SIZES, (a + b * SIZES**-c)[None], EQUAL)
    assert found.rate[0] == pytest.approx(c) and found.a[0] == pytest.approx(a, abs=1e-9)
    assert found.b[0] * found.n0**c == pytest.approx(b)
    for n in (20, 150, 2000):
        assert found.errors(n)[0] == pytest.approx(a + b * n**-c)
        assert found.images(a + b * n**-c)[0] == pytest.approx(n)


@pytest.mark.parametrize("d", [60, 150, 700])
def test_a_known_exponential_is_found_again(d: float):
    found = fit(EXPONENTIAL, SIZES, (0.4 + 0.3 * np.exp(-SIZES / d))[None], EQUAL)
    assert found.rate[0] == pytest.approx(d, rel=0.06)  # the nearest of its list
    for n in (70, 300, 600):
        assert found.errors(n)[0] == pytest.approx(0.4 + 0.3 * np.exp(-n / d), abs=0.002)


def test_three_sizes_hold_c_at_one_half():
    three = SIZES[[0, 2, 5]]
    assert fit(POWER, three, (0.2 + 3 * three**-0.9)[None], np.ones(3)).rate[0] == HELD_C == 0.5
    assert fit(POWER, SIZES[:4], (0.2 + 3 * SIZES[:4] ** -0.9)[None], np.ones(4)).rate[0] == pytest.approx(0.9)


def test_a_and_b_are_the_bounded_least_squares_of_scipy_for_the_rate_that_was_chosen():
    random = np.random.RandomState(0)
    weights = random.uniform(0.2, 5, 6)
    errors = np.clip(random.uniform(-0.1, 0.5, (200, 1)) + random.uniform(-1, 3, (200, 1)) * SIZES**-0.5, 0, 1)
    errors += random.normal(0, 0.02, errors.shape)
    found = fit(POWER, SIZES, errors, weights)
    assert (found.a >= 0).all() and (found.b >= 0).all() and (found.a == 0).any() and (found.b == 0).any()
    for row, a, b, c in zip(errors, found.a, found.b, found.rate, strict=True):
        design = np.stack([EQUAL, (SIZES / 50) ** -c], axis=1) * np.sqrt(weights)[:, None]
        reference = lsq_linear(design, row * np.sqrt(weights), bounds=(0, np.inf))
        cost = ((design @ [a, b] - row * np.sqrt(weights)) ** 2).sum() / 2
        assert cost <= reference.cost * (1 + 1e-6) + 1e-12


def test_a_size_of_little_weight_hardly_moves_the_curve():
    errors = 0.35 + 2.6 * SIZES**-0.5
    spoilt = errors + np.array([0, 0, 0.1, 0, 0, 0])
    weights = np.array([1, 1, 1e-6, 1, 1, 1])
    assert fit(POWER, SIZES, spoilt[None], weights).images(0.5)[0] == pytest.approx((2.6 / 0.15) ** 2, rel=0.01)
    assert fit(POWER, SIZES, spoilt[None], EQUAL).images(0.5)[0] > 1.1 * (2.6 / 0.15) ** 2


def test_an_error_below_the_asymptote_is_never_reached_and_one_above_a_flat_curve_always():
    curves = fit(POWER, SIZES, np.stack([0.35 + 2.6 * SIZES**-0.5, np.full(6, 0.4), 0.2 + SIZES / 1000]), EQUAL)
    assert curves.b[1] == curves.b[2] == 0
    assert curves.images(0.3).tolist() == [np.inf, np.inf, np.inf]
    assert curves.images(0.5)[1] == 0


def test_variances_are_smoothed_to_a_constant_and_a_part_that_falls_with_the_images():
    assert smooth_variances(SIZES, 2 + 300 / SIZES) == pytest.approx(2 + 300 / SIZES)
    assert (smooth_variances(SIZES, np.array([0.0, 1, 1, 1, 1, 9])) > 0).all()
    assert smooth_variances(SIZES, np.zeros(6)).tolist() == [0] * 6


@pytest.mark.filterwarnings("error")
def test_an_error_a_hair_above_the_asymptote_is_beyond_any_number():
    one = np.ones(1)
    assert Curves(POWER, 50.0, 0.25 * one, 0.5 * one, 0.05 * one).images(0.25 + 1e-16).tolist() == [np.inf]
    assert Curves(EXPONENTIAL, 50.0, 0.25 * one, 0.5 * one, 90 * one).images(0.25 + 1e-16)[0] > 3000
