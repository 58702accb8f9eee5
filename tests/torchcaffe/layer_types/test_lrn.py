"""LRN against real Caffe, across channels and within."""

from pathlib import Path

import pytest

from tests.helpers.both_engines import Both, Figures, net_of
from tests.helpers.layer_text import layer
from tests.helpers.real_caffe import RealCaffe

LRNS = {
    "as AlexNet's": "local_size: 5 alpha: 0.0001 beta: 0.75",
    "strong": "local_size: 3 alpha: 2 beta: 0.75 k: 2",
    "another beta": "local_size: 7 alpha: 1 beta: 0.5",
    "wider than the channels": "local_size: 15 alpha: 1",
    "within channels": "local_size: 3 alpha: 1 norm_region: WITHIN_CHANNEL",
    "within channels, wide": "local_size: 5 alpha: 0.5 beta: 0.6 k: 3 norm_region: WITHIN_CHANNEL",
}


@pytest.mark.parametrize("settings_", LRNS.values(), ids=LRNS.keys())
def test_lrn(real_caffe: RealCaffe, tmp_path: Path, figures: Figures, settings_: str) -> None:
    text = net_of(layer("LRN", f"lrn_param {{ {settings_} }}"), x=(2, 7, 6, 5))
    Both(real_caffe, text, tmp_path).agree(figures, "LRN")
