"""HingeLoss against real Caffe: both norms, and labels."""

import numpy as np
import pytest

import torchcaffe as caffe
from caffeformat import FormatError
from tests.helpers.both_engines import Both, net_of
from tests.helpers.layer_checks import label_gradient_is_refused
from tests.helpers.layer_text import layer
from tests.helpers.refusals import refused

DOWN = "propagate_down: true propagate_down: false"


@pytest.mark.parametrize("settings_", ["", "hinge_loss_param { norm: L2 }", "loss_weight: 0.3"])
@pytest.mark.parametrize("shape", [(6, 5), (4, 3, 2, 2), (3,)], ids=str)
def test_hinge(real_caffe, tmp_path, figures, settings_, shape) -> None:
    label = np.random.default_rng(3).integers(0, np.prod(shape[1:], dtype=int), shape[:1])
    text = net_of(layer("HingeLoss", f"{settings_} {DOWN}", "x label"), x=shape, label=shape[:1])
    Both(real_caffe, text, tmp_path, label=label).agree(figures, "HingeLoss")


def test_hinge_at_the_margin_has_no_gradient(real_caffe, tmp_path, figures) -> None:
    text = net_of(layer("HingeLoss", DOWN, "x label"), x=(2, 3), label=(2, 1))
    both = Both(real_caffe, text, tmp_path, x=[[1, -1, -2], [-1, -1, 3]], label=[[0], [1]])
    both.agree(figures, "HingeLoss")
    assert both.found["diff x"].tolist() == [[0, 0, 0], [0, -0.5, 0.5]]


@pytest.mark.parametrize("settings_", ["", "hinge_loss_param { norm: L2 }"])
def test_a_nan_is_no_margin_and_has_no_gradient(real_caffe, tmp_path, figures, settings_) -> None:
    text = net_of(layer("HingeLoss", f"{settings_} {DOWN}", "x label"), x=(2, 3), label=(2, 1))
    both = Both(real_caffe, text, tmp_path, x=[[np.nan, 0.5, -2], [1, np.nan, 3]], label=[[0], [1]])
    for name in ["data y", "diff x"]:
        assert np.isfinite(both.found[name]).all()
        figures.note_arrays("HingeLoss: beside a nan", both.found[name], both.right[name], 1e-6)


@pytest.mark.parametrize("label", [-1, 3])
def test_a_label_that_is_no_class_is_refused(tmp_path, label) -> None:
    path = tmp_path / "net.prototxt"
    path.write_text(net_of(layer("HingeLoss", DOWN, "x label"), x=(2, 3), label=(2,)))
    with pytest.raises(FormatError, match=rf"layer 'it'.*a label is {label}, but there are 3 classes"):
        caffe.Net(path, caffe.TEST).forward(x=np.zeros((2, 3)), label=np.array([0, label]))


def test_a_gradient_of_labels_is_refused(tmp_path) -> None:
    label_gradient_is_refused(tmp_path, "HingeLoss", labels=(2,))


REFUSALS = {
    "labels of another batch": (layer("HingeLoss", "", "x w"), "same first dimension"),
    "one bottom": (layer("HingeLoss"), "1 bottom blobs"),
}


@pytest.mark.parametrize(("layers", "message"), REFUSALS.values(), ids=REFUSALS.keys())
def test_what_caffe_refuses_is_refused(real_caffe, tmp_path, layers, message) -> None:
    refused(net_of(layers, x=(2, 3), w=(3, 2)), message, tmp_path, real_caffe)


def test_a_bottom_of_five_axes_is_refused_where_caffe_stops_when_it_runs(tmp_path) -> None:
    refused(net_of(layer("HingeLoss", "", "v x"), x=(2, 3), v=(2, 1, 1, 1, 3)), "5 axes", tmp_path, None)
