"""The looks of conditions and sizes."""

import matplotlib
import numpy as np

from tests.helpers.figure_files import ALL_CONDITIONS
from tools.figures import style
from tools.protocol.conditions import FAMILIES


def test_every_condition_has_a_look_of_its_own_that_gets_lighter_with_the_depth():
    looks = {name: style.condition_look(name) for name in ALL_CONDITIONS}
    assert len({(matplotlib.colors.to_hex(look["color"]), look["marker"]) for look in looks.values()}) == len(
        ALL_CONDITIONS
    )
    for family in FAMILIES:
        names = [f"{family[0]}{n}T{family[1:]}" for n in range(1, 8)]
        colors = [matplotlib.colors.to_rgb(style.condition_look(name)["color"]) for name in names]
        assert np.diff([0.299 * r + 0.587 * g + 0.114 * b for r, g, b in colors]).min() > 0.01, family
