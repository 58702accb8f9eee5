"""LRN against real Caffe, across channels and within."""

from pathlib import Path

import pytest

from tests.helpers.both_engines import Both, Figures, net_of
from tests.helpers.layer_text import layer
from tests.helpers.real_caffe import RealCaffe
from tests.helpers.refusals import refused

LRNS = {
    "as AlexNet's": "local_size: 5 alpha: 0.0001 beta: 0.75",
    "strong": "local_size: 3 alpha: 2 beta: 0.75 k: 2",
    "another beta": "local_size: 7 alpha: 1 beta: 0.5",
    "wider than the channels": "local_size: 15 alpha: 1",
    "within channels": "local_size: 3 alpha: 1 norm_region: WITHIN_CHANNEL",
    "within channels, wide": "local_size: 5 alpha: 0.5 beta: 0.6 k: 3 norm_region: WITHIN_CHANNEL",
}


IN_PLACE = {name: settings_ for name, settings_ in LRNS.items() if name.startswith("within")}
ACROSS_IN_PLACE = """
net = caffe.Net(given["path"], 1)
net.blobs["x"].data[...] = 1
net.forward()
out["x"] = net.blobs["x"].data.copy()
"""


@pytest.mark.parametrize("settings_", LRNS.values(), ids=LRNS.keys())
def test_lrn(real_caffe: RealCaffe, tmp_path: Path, figures: Figures, settings_: str) -> None:
    text = net_of(layer("LRN", f"lrn_param {{ {settings_} }}"), x=(2, 7, 6, 5))
    Both(real_caffe, text, tmp_path).agree(figures, "LRN")


@pytest.mark.parametrize("settings_", IN_PLACE.values(), ids=IN_PLACE.keys())
def test_lrn_in_place(real_caffe: RealCaffe, tmp_path: Path, figures: Figures, settings_: str) -> None:
    text = net_of(layer("LRN", f"lrn_param {{ {settings_} }}", tops="x"), x=(2, 7, 6, 5))
    Both(real_caffe, text, tmp_path).agree(figures, "LRN")


def test_across_channels_in_place_is_refused_for_caffe_loses_its_inputs(real_caffe: RealCaffe, tmp_path: Path) -> None:
    text = net_of(layer("LRN", "lrn_param { local_size: 1 alpha: 15 beta: 0.5 }", tops="x"), x=(1, 1, 1, 1))
    refused(text, "across channels BVLC Caffe's values are wrong in place; give its top another name", tmp_path, None)
    found = real_caffe.run(ACROSS_IN_PLACE, path=str(tmp_path / "net.prototxt"))
    assert found["x"].ravel().tolist() == [0.0625], "Caffe squares 16 ** -0.5 in place of multiplying the input by it"
