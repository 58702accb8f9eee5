"""SigmoidCrossEntropyLoss against real Caffe: normalizations and ignored targets."""

import numpy as np
import pytest

from tests.helpers.both_engines import Both, net_of
from tests.helpers.layer_checks import label_gradient_is_refused
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


def test_a_gradient_of_targets_is_refused(tmp_path) -> None:
    label_gradient_is_refused(tmp_path, "SigmoidCrossEntropyLoss", labels=(2, 3))


REFUSALS = {
    "targets of another count": (layer("SigmoidCrossEntropyLoss", "", "x z"), "same count"),
    "targets of another batch": (layer("SigmoidCrossEntropyLoss", "", "x w"), "same first dimension"),
}


@pytest.mark.parametrize(("layers", "message"), REFUSALS.values(), ids=REFUSALS.keys())
def test_what_caffe_refuses_is_refused(real_caffe, tmp_path, layers, message) -> None:
    refused(net_of(layers, x=(2, 3), z=(2, 4), w=(3, 2)), message, tmp_path, real_caffe)
