"""Dropout against real Caffe: the masks are the same, value by value."""

import pytest

import torchcaffe as caffe
from tests.helpers.both_engines import Both, net_of
from tests.helpers.layer_text import apart_and_in_place, layer


@apart_and_in_place
@pytest.mark.parametrize("ratio", [0.5, 0.3, 0.9])
@pytest.mark.parametrize("phase", [caffe.TRAIN, caffe.TEST], ids=["train", "test"])
def test_dropout_draws_caffes_own_masks(real_caffe, tmp_path, figures, ratio, tops, phase) -> None:
    text = net_of(layer("Dropout", f"dropout_param {{ dropout_ratio: {ratio} }}", tops=tops), x=(3, 4, 5, 6))
    Both(real_caffe, text, tmp_path, phase=phase).agree(figures, "Dropout")
