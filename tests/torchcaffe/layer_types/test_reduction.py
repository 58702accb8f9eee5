"""Reduction against real Caffe: each operation along each axis."""

import numpy as np
import pytest

from tests.helpers.both_engines import Both, net_of
from tests.helpers.layer_checks import order_of_values_is_caffes
from tests.helpers.layer_text import between_layers, layer
from tests.helpers.refusals import refused

SHAPE = (3, 4, 2, 5)


@pytest.mark.parametrize("operation", ["SUM", "ASUM", "SUMSQ", "MEAN"])
@pytest.mark.parametrize("axis", ["", "axis: 1", "axis: 3 coeff: -0.3", "axis: -2 coeff: 2.5"])
def test_reduction(real_caffe, tmp_path, figures, operation, axis) -> None:
    text = net_of(layer("Reduction", f"reduction_param {{ operation: {operation} {axis} }}"), x=SHAPE)
    x = np.random.default_rng(1).integers(-2, 4, SHAPE)  # zeros too, where the gradient of |x| is 0
    Both(real_caffe, text, tmp_path, x=x).agree(figures, "Reduction")


def test_a_reduction_is_a_loss_with_a_loss_weight(real_caffe, tmp_path, figures) -> None:
    text = net_of(layer("Reduction", "loss_weight: 0.3 reduction_param { operation: SUMSQ axis: 1 }"), x=(4, 3))
    Both(real_caffe, text, tmp_path).agree(figures, "Reduction")


def test_the_order_of_values_is_caffes_behind_a_convolution(real_caffe, tmp_path, figures) -> None:
    text = between_layers("Reduction", "reduction_param { operation: ASUM axis: 2 }")
    order_of_values_is_caffes(real_caffe, tmp_path, figures, text, "Reduction")


def test_an_axis_that_is_not_there_is_refused(real_caffe, tmp_path) -> None:
    text = net_of(layer("Reduction", "reduction_param { axis: 4 }"), x=SHAPE)
    refused(text, "axis 4 of a bottom with 4 axes", tmp_path, real_caffe)


def test_in_place_is_refused_where_caffe_reduces_an_array_of_the_new_shape(tmp_path) -> None:
    refused(net_of(layer("Reduction", tops="x"), x=SHAPE), "in-place", tmp_path, None)
