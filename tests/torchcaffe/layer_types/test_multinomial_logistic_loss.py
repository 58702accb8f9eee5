"""MultinomialLogisticLoss against real Caffe: its values, its smallest probability, and labels."""

import numpy as np
import pytest

import torchcaffe as caffe
from caffeformat import FormatError
from tests.helpers.both_engines import Both, net_of
from tests.helpers.layer_checks import label_gradient_is_refused
from tests.helpers.layer_text import layer
from tests.helpers.refusals import refused

TYPE = "MultinomialLogisticLoss"
DOWN = "propagate_down: true propagate_down: false"


@pytest.mark.parametrize("weight", ["", "loss_weight: 0.3"])
@pytest.mark.parametrize(("shape", "labels"), [((6, 5), (6,)), ((4, 3, 2, 2), (4, 1, 1, 1)), ((3,), (3,))], ids=str)
def test_multinomial_logistic_loss(real_caffe, tmp_path, figures, weight, shape, labels) -> None:
    random = np.random.default_rng(3)
    text = net_of(layer(TYPE, f"{weight} {DOWN}", "x label"), x=shape, label=labels)
    label = random.integers(0, np.prod(shape[1:], dtype=int), labels)
    Both(real_caffe, text, tmp_path, x=random.uniform(0.1, 1, shape), label=label).agree(figures, TYPE)


def test_a_probability_has_a_least_value_in_the_gradient_too(real_caffe, tmp_path, figures) -> None:
    text = net_of(layer(TYPE, DOWN, "x label"), x=(3, 2), label=(3,))
    both = Both(real_caffe, text, tmp_path, x=[[0, 1], [1e-30, 1], [-1, 1]], label=[0, 0, 0])
    both.agree(figures, TYPE)
    assert both.found["data y"] == pytest.approx(-np.log(1e-20), rel=1e-6)


@pytest.mark.parametrize("label", [-1, 3])
def test_a_label_that_is_no_class_is_refused(tmp_path, label) -> None:
    path = tmp_path / "net.prototxt"
    path.write_text(net_of(layer(TYPE, DOWN, "x label"), x=(2, 3), label=(2,)))
    with pytest.raises(FormatError, match=rf"layer 'it'.*a label is {label}, but there are 3 classes"):
        caffe.Net(path, caffe.TEST).forward(x=np.ones((2, 3)), label=np.array([0, label]))


def test_a_gradient_of_labels_is_refused(tmp_path) -> None:
    label_gradient_is_refused(tmp_path, TYPE, labels=(2,))


REFUSALS = {
    "labels of another batch": (layer(TYPE, "", "x w"), "same first dimension"),
    "several labels an image": (layer(TYPE, "", "x x2"), "one label an image"),
    "one bottom": (layer(TYPE), "1 bottom blobs"),
}


@pytest.mark.parametrize(("layers", "message"), REFUSALS.values(), ids=REFUSALS.keys())
def test_what_caffe_refuses_is_refused(real_caffe, tmp_path, layers, message) -> None:
    refused(net_of(layers, x=(2, 3), x2=(2, 3), w=(3,)), message, tmp_path, real_caffe)


def test_a_bottom_of_five_axes_is_refused_where_caffe_stops_when_it_runs(tmp_path) -> None:
    refused(net_of(layer(TYPE, "", "v w"), v=(2, 1, 1, 1, 3), w=(2,)), "5 axes", tmp_path, None)
