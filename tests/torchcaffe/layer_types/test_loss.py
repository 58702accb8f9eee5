"""SigmoidCrossEntropyLoss and HingeLoss against real Caffe: normalizations, labels left out, norms."""

import numpy as np
import pytest

import torchcaffe as caffe
from caffeformat import FormatError
from tests.helpers.both_engines import Both, net_of
from tests.helpers.layer_text import layer
from tests.helpers.refusals import refused

DOWN = "propagate_down: true propagate_down: false"
ENTROPIES = {
    "plain": "",
    "weighted": "loss_weight: 0.3",
    "all counted": "loss_param { normalization: FULL }",
    "the valid counted": "loss_param { normalization: VALID }",
    "the batch counted": "loss_param { normalization: BATCH_SIZE }",
    "not normalized": "loss_param { normalization: NONE }",
    "old word, true": "loss_param { normalize: true ignore_label: 1 }",
    "old word, false": "loss_param { normalize: false ignore_label: 1 }",
    "one label ignored": "loss_param { ignore_label: 0 }",
    "one label ignored, the valid counted": "loss_param { ignore_label: -1 normalization: VALID }",
    "one label ignored, all counted": "loss_param { ignore_label: -1 normalization: FULL }",
}


@pytest.mark.parametrize("shape", [(6, 3, 2), (5,)], ids=str)
@pytest.mark.parametrize("settings_", ENTROPIES.values(), ids=ENTROPIES.keys())
def test_sigmoid_cross_entropy(real_caffe, tmp_path, figures, settings_, shape) -> None:
    target = np.random.default_rng(3).integers(-1, 2, shape)
    text = net_of(layer("SigmoidCrossEntropyLoss", f"{settings_} {DOWN}", "x target"), x=shape, target=shape)
    Both(real_caffe, text, tmp_path, target=target).agree(figures, "SigmoidCrossEntropyLoss")


def test_sigmoid_cross_entropy_of_broken_targets_far_from_zero(real_caffe, tmp_path, figures) -> None:
    random = np.random.default_rng(3)
    x, target = random.standard_normal((4, 30)) * 40, random.uniform(-1, 2, (4, 30))
    x[0, :3] = 0
    for settings_ in ("", "loss_param { ignore_label: 1 normalization: VALID }", "loss_param { ignore_label: 0 }"):
        text = net_of(layer("SigmoidCrossEntropyLoss", f"{settings_} {DOWN}", "x z"), x=x.shape, z=(4, 5, 6))
        both = Both(real_caffe, text, tmp_path, x=x, z=target.reshape(4, 5, 6))
        both.agree(figures, "SigmoidCrossEntropyLoss")


def test_all_targets_ignored_give_no_loss(real_caffe, tmp_path, figures) -> None:
    settings_ = f"loss_param {{ ignore_label: 1 normalization: VALID }} {DOWN}"
    text = net_of(layer("SigmoidCrossEntropyLoss", settings_, "x z"), x=(3, 4), z=(3, 4))
    both = Both(real_caffe, text, tmp_path, z=np.ones((3, 4)))
    both.agree(figures, "SigmoidCrossEntropyLoss")
    assert both.found["data y"] == 0


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


@pytest.mark.parametrize("type_", ["SigmoidCrossEntropyLoss", "HingeLoss"])
def test_a_gradient_of_labels_is_refused(tmp_path, type_) -> None:
    path = tmp_path / "net.prototxt"
    settings_ = "propagate_down: true propagate_down: true"
    path.write_text(net_of(layer(type_, settings_, "x z"), x=(2, 3), z=(2, 3)))
    net = caffe.Net(path, caffe.TEST)
    net.forward()
    with pytest.raises(FormatError, match=r"layer 'it'.*cannot backpropagate to label"):
        net.backward()


@pytest.mark.parametrize("label", [-1, 3])
def test_a_label_that_is_no_class_is_refused(tmp_path, label) -> None:
    path = tmp_path / "net.prototxt"
    path.write_text(net_of(layer("HingeLoss", DOWN, "x label"), x=(2, 3), label=(2,)))
    with pytest.raises(FormatError, match=rf"layer 'it'.*a label is {label}, but there are 3 classes"):
        caffe.Net(path, caffe.TEST).forward(label=np.array([0, label], np.float32))


REFUSALS = {
    "targets of another count": (layer("SigmoidCrossEntropyLoss", "", "x z"), "same count"),
    "targets of another batch": (layer("SigmoidCrossEntropyLoss", "", "x w"), "same first dimension"),
    "labels of another batch": (layer("HingeLoss", "", "x w"), "same first dimension"),
    "one bottom": (layer("HingeLoss"), "1 bottom blobs"),
    "a hinge of five axes": (layer("HingeLoss", "", "v x"), "5 axes"),
}


@pytest.mark.parametrize(("layers", "message"), REFUSALS.values(), ids=REFUSALS.keys())
def test_what_caffe_refuses_is_refused(real_caffe, tmp_path, layers, message) -> None:
    if "5 axes" in message:
        real_caffe = None  # it builds the net, and stops when it runs
    refused(net_of(layers, x=(2, 3), z=(2, 4), w=(3, 2), v=(2, 1, 1, 1, 3)), message, tmp_path, real_caffe)
