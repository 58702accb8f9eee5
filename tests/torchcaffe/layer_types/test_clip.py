"""Clip against real Caffe."""

import numpy as np
import pytest

import torchcaffe as caffe
from caffeformat import FormatError
from tests.helpers.both_engines import Both, net_of
from tests.helpers.layer_text import apart_and_in_place, layer
from tests.helpers.real_caffe import CaffeAborted
from tests.helpers.refusals import refused

X = np.random.default_rng(1).integers(-3, 4, (4, 3, 2, 5))  # values at both ends too


@pytest.mark.parametrize("ends", ["min: -1 max: 2", "min: 2 max: 2", "min: 2 max: -1"], ids=["apart", "one", "turned"])
def test_clip(real_caffe, tmp_path, figures, ends) -> None:
    text = net_of(layer("Clip", f"clip_param {{ {ends} }}"), x=X.shape)
    Both(real_caffe, text, tmp_path, x=X).agree(figures, "Clip", tolerance=0)


@apart_and_in_place
def test_the_values_in_place(real_caffe, tmp_path, figures, tops) -> None:
    text = net_of(layer("Clip", "clip_param { min: -1 max: 2 }", tops=tops), x=X.shape)
    Both(real_caffe, text, tmp_path, x=X, backward=False).agree(figures, "Clip", tolerance=0)


def test_a_gradient_in_place_is_refused_for_caffe_lets_all_of_it_through(real_caffe, tmp_path) -> None:
    path = tmp_path / "net.prototxt"
    path.write_text(net_of(layer("Clip", "clip_param { min: -1 max: 2 }", tops="x"), x=(2,)))
    caffes = real_caffe.run(
        'net = caffe.Net(given["path"], 1); net.blobs["x"].data[...] = 5; net.forward()\n'
        'net.blobs["x"].diff[...] = 7; net.backward(); out["diff"] = net.blobs["x"].diff',
        path=str(path),
    )
    assert caffes["diff"].tolist() == [7, 7]
    net = caffe.Net(path, caffe.TEST)
    net.forward()
    with pytest.raises(FormatError, match=r"layer 'it'.*has no gradient in place"):
        net.backward(x=np.ones(2, np.float32))


def test_one_end_is_refused_by_both(real_caffe, tmp_path) -> None:
    path = tmp_path / "net.prototxt"
    path.write_text(net_of(layer("Clip", "clip_param { min: 1 }"), x=(2, 3)))
    with pytest.raises(FormatError, match="max"):
        caffe.Net(path, caffe.TEST)
    with pytest.raises(CaffeAborted):
        real_caffe.run('caffe.Net(given["path"], 1)', path=str(path))


def test_no_ends_are_refused_where_caffe_takes_0_and_0(tmp_path) -> None:
    refused(net_of(layer("Clip"), x=(2, 3)), "clip_param", tmp_path, None)
