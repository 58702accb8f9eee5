"""Convolution as products of matrices, against real Caffe."""

import pytest

from tests.helpers.both_engines import Both, net_of
from tests.helpers.layer_text import FILLERS, layer


@pytest.mark.parametrize("size", [(3, 3), (2, 3), (1, 2), (4, 5)], ids=str)
@pytest.mark.parametrize("groups", [1, 2])
def test_convolution_over_maps_no_larger_than_the_kernel(real_caffe, tmp_path, figures, size, groups) -> None:
    """Wide enough to be done as products of matrices, the second bottom's gradients added to the first's."""
    kernel = 3 if max(size) == 3 else 5
    settings_ = f"num_output: {128 * groups} kernel_size: {kernel} pad: {kernel // 2} group: {groups} {FILLERS}"
    shape = (3, 128 * groups, *size)
    text = net_of(layer("Convolution", f"convolution_param {{ {settings_} }}", "x z", "y w"), x=shape, z=shape)
    Both(real_caffe, text, tmp_path).agree(figures, "Convolution")
