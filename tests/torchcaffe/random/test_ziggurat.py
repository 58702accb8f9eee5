"""The ziggurats: their strips, and numbers that are not complete when the draws end."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from torchcaffe.random import ziggurat
from torchcaffe.random.rng import Generator

SEEDS = st.integers(0, 2**32 - 1)


@pytest.mark.parametrize(
    ("strips", "edge", "area"),
    [
        (ziggurat.normal_strips(), 3.442619855899, 9.91256303526217e-3),  # Marsaglia and Tsang's constants
        (ziggurat.exponential_strips(), 7.697117470131487, 3.949659822581572e-3),
    ],
)
def test_the_strips_are_marsaglias_and_of_one_area(strips, edge, area):
    assert strips.x[1] == pytest.approx(edge, rel=1e-12)
    assert strips.x[1:-1] * np.diff(strips.y[1:]) == pytest.approx(area, rel=1e-11)
    assert (strips.x[-1], strips.y[0], strips.y[-1]) == (0, 0, 1)


@given(seed=SEEDS, cut=st.integers(0, 3000))
def test_a_number_cut_off_by_the_end_of_the_draws_is_made_when_they_come_again_with_more(seed, cut):
    draws = Generator(seed).raw(3000)
    whole, _ = ziggurat.normal(draws)
    first, taken = ziggurat.normal(draws[:cut])
    second, _ = ziggurat.normal(draws[taken:])
    assert np.array_equal(np.concatenate([first, second]), whole)


@pytest.mark.parametrize("strip", [1, 40, 90, 127])
def test_a_height_that_float32_rounds_to_one_is_drawn_again(strip):
    wedge, following = (2**24 - 1) << 8 | strip << 1 | 1, Generator(1).raw(50)
    for height in range(0, 2**32, 2**28):
        plain = np.array([wedge, height, *following], np.uint32)
        again = np.array([wedge, 2**32 - 1, 2**32 - 128, height, *following], np.uint32)
        assert np.array_equal(ziggurat.normal(plain)[0], ziggurat.normal(again)[0])
