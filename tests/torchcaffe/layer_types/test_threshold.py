"""Threshold against real Caffe."""

import numpy as np
import pytest

import torchcaffe as caffe
from caffeformat import FormatError
from tests.helpers.both_engines import REAL, Both, net_of
from tests.helpers.layer_text import apart_and_in_place, layer
from tests.helpers.real_caffe import CaffeAborted


@apart_and_in_place
@pytest.mark.parametrize("threshold", ["", "threshold_param { threshold: 1 }"])
def test_threshold(real_caffe, tmp_path, figures, tops, threshold) -> None:
    x = np.random.default_rng(1).integers(-2, 3, (4, 3, 2, 5))  # values equal to the threshold too
    text = net_of(layer("Threshold", threshold, tops=tops), x=x.shape)
    Both(real_caffe, text, tmp_path, x=x, backward=False).agree(figures, "Threshold", tolerance=0)


def test_a_gradient_is_refused_by_both(real_caffe, tmp_path) -> None:
    path = tmp_path / "net.prototxt"
    path.write_text(net_of(layer("Threshold"), x=(2, 3)))
    net = caffe.Net(path, caffe.TEST)
    net.forward()
    with pytest.raises(FormatError, match=r"layer 'it' \(Threshold\): has no gradient"):
        net.backward()
    with pytest.raises(CaffeAborted):
        real_caffe.run(REAL, path=str(path), phase=1, seed=1, backward=True)
