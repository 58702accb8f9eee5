"""ContrastiveLoss against real Caffe: both versions, and what it takes."""

import numpy as np
import pytest

from tests.helpers.both_engines import Both, net_of
from tests.helpers.layer_text import layer
from tests.helpers.refusals import refused

LOSSES = {
    "plain": "",
    "another margin": "contrastive_loss_param { margin: 2.5 }",
    "of old": "contrastive_loss_param { margin: 5 legacy_version: true }",
    "weighted": "loss_weight: 0.3",
    "no gradient of the first": "propagate_down: false propagate_down: true propagate_down: false",
}
ALIKE = [1, 0, 0, 2, 0, 0.5, -1, 0]  # 0.5 is 0


@pytest.mark.parametrize("settings_", LOSSES.values(), ids=LOSSES.keys())
@pytest.mark.parametrize(("shape", "alike"), [((8, 3), (8,)), ((8, 3, 1, 1), (8, 1, 1, 1)), ((8,), (8, 1))], ids=str)
def test_contrastive_loss(real_caffe, tmp_path, figures, settings_, shape, alike) -> None:
    text = net_of(layer("ContrastiveLoss", settings_, "x z alike"), x=shape, z=shape, alike=alike)
    if "propagate_down" in settings_:
        text = text.removeprefix("force_backward: true\n")
    x = np.random.default_rng(2).standard_normal(shape) * 1.5
    z = np.random.default_rng(3).standard_normal(shape)
    z[1] = x[1]  # a distance of 0
    Both(real_caffe, text, tmp_path, x=x, z=z, alike=np.reshape(ALIKE, alike)).agree(figures, "ContrastiveLoss")


def test_more_values_than_pairs_are_not_read_as_in_caffe(real_caffe, tmp_path, figures) -> None:
    text = net_of(layer("ContrastiveLoss", "", "x z alike"), x=(3, 4), z=(3, 4), alike=(8,))
    Both(real_caffe, text, tmp_path, alike=ALIKE).agree(figures, "ContrastiveLoss")


REFUSALS = {
    "maps": (layer("ContrastiveLoss", "", "m m2 s"), "height and width must be 1"),
    "vectors of other lengths": (layer("ContrastiveLoss", "", "x w s"), "vectors of different lengths"),
    "another batch": (layer("ContrastiveLoss", "", "x t s"), "same first dimension"),
    "several values a pair": (layer("ContrastiveLoss", "", "x z w"), "one value a pair"),
    "two bottoms": (layer("ContrastiveLoss", "", "x z"), "2 bottom blobs"),
}


@pytest.mark.parametrize(("layers", "message"), REFUSALS.values(), ids=REFUSALS.keys())
def test_what_caffe_refuses_is_refused(real_caffe, tmp_path, layers, message) -> None:
    maps = (4, 3, 2, 1)
    text = net_of(layers, x=(4, 3), z=(4, 3), w=(4, 2), t=(5, 3), s=(4,), m=maps, m2=maps)
    refused(text, message, tmp_path, real_caffe)


def test_fewer_values_than_pairs_are_refused_where_caffe_reads_on(tmp_path) -> None:
    text = net_of(layer("ContrastiveLoss", "", "x z s"), x=(4, 3), z=(4, 3), s=(3,))
    refused(text, "4 pairs, but 3 values", tmp_path, None)
