"""Pads and divisors of pooling windows."""

import numpy as np

from torchcaffe.export.geometry import PoolGeometry


def test_the_last_window_reaches_beyond_the_border_only_as_far_as_caffes() -> None:
    ceil = PoolGeometry([3, 3], [2, 2], [0, 0], (6, 7), (3, 3), False)
    assert ceil.pads == [0, 0, 1, 0]
    np.testing.assert_allclose(ceil.cut_windows, [[1, 1, 1], [1, 1, 1], [1.5, 1.5, 1.5]])
    clipped = PoolGeometry([2, 2], [2, 2], [1, 1], (3, 3), (2, 2), False)
    assert clipped.pads == [1, 1, 0, 0] and clipped.cut_windows is None
