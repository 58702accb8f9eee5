"""SoftmaxWithLoss against real Caffe: normalizations, ignored labels, and the cap of a printed loss."""

import numpy as np
import pytest

import torchcaffe as caffe
from tests.helpers.both_engines import Both, net_of
from tests.helpers.layer_checks import label_gradient_is_refused
from tests.helpers.layer_text import layer

LOSSES = {
    "plain": "",
    "weighted": "loss_weight: 0.3",
    "all counted": "loss_param { normalization: FULL }",
    "the batch counted": "loss_param { normalization: BATCH_SIZE }",
    "not normalized": "loss_param { normalization: NONE }",
    "old word, true": "loss_param { normalize: true ignore_label: 1 }",
    "old word, false": "loss_param { normalize: false ignore_label: 1 }",
    "one label ignored": "loss_param { ignore_label: 2 }",
    "one label ignored, all counted": "loss_param { ignore_label: 2 normalization: FULL }",
    "a label that is no class ignored": "loss_param { ignore_label: 255 }",
}


@pytest.mark.parametrize("settings_", LOSSES.values(), ids=LOSSES.keys())
def test_softmax_with_loss(real_caffe, tmp_path, figures, settings_) -> None:
    random = np.random.default_rng(3)
    labels = random.integers(0, 4, (6, 3, 2))
    if "255" in settings_:
        labels[random.random(labels.shape) < 0.3] = 255
    settings_ += " propagate_down: true propagate_down: false"
    text = net_of(layer("SoftmaxWithLoss", settings_, "x label"), x=(6, 4, 3, 2), label=labels.shape)
    Both(real_caffe, text, tmp_path, label=labels).agree(figures, "SoftmaxWithLoss")


def test_every_label_ignored_gives_no_loss_and_no_gradient(real_caffe, tmp_path, figures) -> None:
    settings_ = "loss_param { ignore_label: 1 } propagate_down: true propagate_down: false"
    text = net_of(layer("SoftmaxWithLoss", settings_, "x label"), x=(3, 4), label=(3,))
    both = Both(real_caffe, text, tmp_path, label=np.ones(3))
    both.agree(figures, "SoftmaxWithLoss")
    assert both.found["data y"] == 0


def test_the_printed_loss_of_a_sample_is_capped_while_its_gradient_is_not(real_caffe, tmp_path, figures) -> None:
    settings_ = "propagate_down: true propagate_down: false"
    text = net_of(layer("SoftmaxWithLoss", settings_, "x label"), x=(2, 3), label=(2,))
    both = Both(real_caffe, text, tmp_path, x=[[200, 0, 0], [0, 0, 0]], label=[1, 1])
    both.agree(figures, "SoftmaxWithLoss")
    assert both.found["data y"] * 2 - np.log(3) == pytest.approx(87.3365, rel=1e-5)
    assert both.found["diff x"][0].tolist() == [0.5, -0.5, 0]


def test_a_loss_of_nothing_has_no_minus_sign(real_caffe, tmp_path, figures) -> None:
    """Every probability is 1. The log prints the loss."""
    settings_ = "propagate_down: true propagate_down: false"
    text = net_of(layer("SoftmaxWithLoss", settings_, "x label"), x=(2, 3), label=(2,))
    both = Both(real_caffe, text, tmp_path, x=[[200, 0, 0], [0, 200, 0]], label=[0, 1])
    both.agree(figures, "SoftmaxWithLoss")
    assert both.found["data y"] == 0 and not np.signbit(both.found["data y"])


def test_a_gradient_of_labels_is_refused(tmp_path) -> None:
    label_gradient_is_refused(tmp_path, "SoftmaxWithLoss", labels=(2,))


@pytest.mark.parametrize("images", [4, 400], ids=["few", "many"])
@pytest.mark.parametrize("score", [-np.float32("nan"), np.float32("inf")])
def test_the_loss_of_scores_that_diverged_has_caffes_sign(real_caffe, tmp_path, images, score) -> None:
    """What the processor makes of inf - inf has a sign, which the log shows: -nan."""
    settings_ = "propagate_down: true propagate_down: false"
    text = net_of(layer("SoftmaxWithLoss", settings_, "x label"), x=(images, 4), label=(images,))
    x = np.random.default_rng(1).standard_normal((images, 4)).astype(np.float32)
    x[0, 0] = score
    both = Both(real_caffe, text, tmp_path, x=x, label=np.zeros(images))
    for found in (both.found, both.right):
        assert np.isnan(found["data y"]) and np.signbit(found["data y"])


def test_numpys_settings_of_a_script_change_nothing(tmp_path) -> None:
    """A small probability times 1 / N is smaller than float32 can hold."""
    text = net_of(
        layer("SoftmaxWithLoss", "propagate_down: true propagate_down: false", "x label"), x=(4, 3), label=(4,)
    )
    (tmp_path / "net.prototxt").write_text(text)
    net = caffe.Net(tmp_path / "net.prototxt", caffe.TRAIN)
    net.blobs["x"].data[...] = [0, -87, -86]
    with np.errstate(all="raise"):
        net.forward()
        net.backward()
    assert np.isfinite(net.blobs["x"].diff).all()
