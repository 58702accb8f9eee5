"""Products of matrices, large enough for oneDNN, against real Caffe's InnerProduct."""

import pytest

from tests.helpers.both_engines import Both, net_of
from tests.helpers.layer_text import FILLERS, layer


@pytest.mark.parametrize("more", ["", "transpose: true", "bias_term: false"])
def test_inner_product_as_large_as_alexnets(real_caffe, tmp_path, figures, more) -> None:
    settings_ = f"num_output: 600 {more} {FILLERS}"
    text = net_of(layer("InnerProduct", f"inner_product_param {{ {settings_} }}"), x=(7, 512))
    Both(real_caffe, text, tmp_path).agree(figures, "InnerProduct")
