"""The figure filters: the first layer of a net as pictures."""

import numpy as np

from tools.figures import filters


def test_a_sheet_shows_each_filter_on_its_own_scale_with_zero_in_the_middle():
    one = np.zeros((2, 3, 2, 2), np.float32)
    one[0, 2, 0, 0] = 5  # BGR: the last channel is red
    picture = filters.sheet(one, 2)
    assert picture.shape == (2, 5, 3)
    assert picture[0, 0].tolist() == [255, 128, 128]
    assert (picture[:, 3:] == 128).all() and (picture[:, 2] == 255).all()
