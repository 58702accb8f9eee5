"""TanH against real Caffe, apart and in place."""

import numpy as np
import pytest

from tests.helpers.both_engines import Both, net_of
from tests.helpers.layer_text import apart_and_in_place, layer
from tests.helpers.refusals import refused


@apart_and_in_place
@pytest.mark.parametrize("shape", [(2, 3, 4, 5), (7,), (3, 4)], ids=str)
def test_tanh(real_caffe, tmp_path, figures, shape, tops) -> None:
    Both(real_caffe, net_of(layer("TanH", tops=tops), x=shape), tmp_path).agree(figures, "TanH")


def test_tanh_far_from_zero_and_at_zero(real_caffe, tmp_path, figures) -> None:
    for x in ([-80, -30, -1, 0, 0, 1], [-60, 25, 60, 80, 0, -1]):
        Both(real_caffe, net_of(layer("TanH"), x=(6,)), tmp_path, x=np.array(x)).agree(figures, "TanH")


def test_two_tops_are_refused(real_caffe, tmp_path) -> None:
    refused(net_of(layer("TanH", tops="y z"), x=(2, 3)), "2 top blobs", tmp_path, real_caffe)


def test_the_gradient_near_the_ends_is_caffes_in_each_value(real_caffe, tmp_path) -> None:
    """There 1 - y is a few units in the last digit of a float32, and one more or less would be a third of it."""
    x = np.linspace(-20, 20, 1000)
    both = Both(real_caffe, net_of(layer("TanH"), x=x.shape), tmp_path, x=x)
    np.testing.assert_allclose(both.found["diff x"], both.right["diff x"], rtol=1e-4, atol=1e-14)
