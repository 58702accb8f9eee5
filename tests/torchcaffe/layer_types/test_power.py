"""Power against real Caffe, apart and in place."""

from pathlib import Path

import numpy as np
import pytest

from tests.helpers.both_engines import Both, net_of
from tests.helpers.layer_checks import wrong_gradient_in_place_is_refused
from tests.helpers.layer_text import apart_and_in_place, layer
from tests.helpers.real_caffe import RealCaffe

POWERS = {
    "the identity": "",
    "a line": "scale: -1.5 shift: 0.25",
    "a square": "power: 2",
    "a square of a line": "power: 2 scale: 0.5 shift: -1",
    "a cube": "power: 3",
    "a cube of a line": "power: 3 scale: -2 shift: 0.5",
    "one over": "power: -1 scale: 2",
    "the power 0": "power: 0 scale: 2 shift: 1",
    "the scale 0": "power: 2 scale: 0 shift: 3",
    "nothing but 0": "power: 0 scale: 0",
}


@apart_and_in_place
@pytest.mark.parametrize("settings_", POWERS.values(), ids=POWERS.keys())
def test_power(real_caffe, tmp_path, figures, settings_, tops) -> None:
    text = net_of(layer("Power", f"power_param {{ {settings_} }}", tops=tops), x=(2, 3, 4, 5))
    Both(real_caffe, text, tmp_path, backward=tops == "y").agree(figures, "Power")


@apart_and_in_place
@pytest.mark.parametrize("settings_", ["power: 0.5", "power: 2.5 scale: 3 shift: 0.1", "power: -0.3 shift: 2"])
def test_broken_power_of_positive_numbers(real_caffe, tmp_path, figures, settings_, tops) -> None:
    x = np.random.default_rng(2).uniform(0.1, 3, (3, 4, 2))
    text = net_of(layer("Power", f"power_param {{ {settings_} }}", tops=tops), x=x.shape)
    Both(real_caffe, text, tmp_path, backward=tops == "y", x=x).agree(figures, "Power")


def test_the_gradient_of_a_power_at_zero_is_nan_as_in_caffe(real_caffe: RealCaffe, tmp_path: Path) -> None:
    both = Both(real_caffe, net_of(layer("Power", "power_param { power: 3 }"), x=(2,)), tmp_path, x=np.array([0, 2]))
    for side in (both.found, both.right):
        assert np.isnan(side["diff x"]).tolist() == [True, False]


def test_a_gradient_in_place_where_caffes_is_wrong_is_refused(real_caffe, tmp_path) -> None:
    wrong_gradient_in_place_is_refused(real_caffe, tmp_path, layer("Power", "power_param { scale: 3 }", tops="x"))
