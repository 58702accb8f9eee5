"""Each layer's gradients against differences of its outputs, in float64: no other program is asked."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch

import torchcaffe as caffe
from tests.helpers.both_engines import Figures, net_of
from tests.helpers.gradient_check import built, check
from torchcaffe.common import context

W = 'weight_filler { type: "gaussian" std: 1 } bias_filler { type: "gaussian" std: 1 }'
LAYERS = {
    "Convolution": f"convolution_param {{ num_output: 4 kernel_size: 3 pad: 1 stride: 2 group: 2 {W} }}",
    "Convolution dilated": f"convolution_param {{ num_output: 2 kernel_size: 2 dilation: 2 {W} }}",
    "InnerProduct": f"inner_product_param {{ num_output: 5 {W} }}",
    "InnerProduct transposed": f"inner_product_param {{ num_output: 5 transpose: true axis: 2 {W} }}",
    "Pooling MAX": "pooling_param { kernel_size: 3 stride: 2 pad: 1 }",
    "Pooling AVE": "pooling_param { pool: AVE kernel_size: 3 stride: 2 pad: 2 }",
    "LRN across": "lrn_param { local_size: 3 alpha: 2 beta: 0.75 k: 1.5 }",
    "LRN within": "lrn_param { local_size: 3 alpha: 2 beta: 0.6 norm_region: WITHIN_CHANNEL }",
    "ReLU leaky": "relu_param { negative_slope: 0.3 }",
    "Softmax": "softmax_param { axis: 2 }",
}


@pytest.fixture(autouse=True)
def in_float64() -> Iterator[None]:
    caffe.set_mode_cpu()
    caffe.set_random_seed(2)
    context.current().dtype = torch.float64
    yield
    context.current().dtype = torch.float32


@pytest.mark.parametrize("name", LAYERS)
def test_the_gradient_of_a_weighted_sum_of_the_outputs(tmp_path: Path, figures: Figures, name: str) -> None:
    layer = f'layer {{ name: "it" type: "{name.split()[0]}" bottom: "x" top: "y" {LAYERS[name]} }}'
    net, random = built(tmp_path, net_of(layer, x=(2, 4, 5, 6)))
    weights = random.standard_normal(net.blobs["y"].shape)

    def score() -> float:
        return float((net.forward()["y"] * weights).sum())

    score()
    net.blobs["y"].diff = weights
    net.backward()
    check(net, random, score, figures)


@pytest.mark.parametrize("settings", ["", "loss_param { ignore_label: 1 normalization: BATCH_SIZE }", "loss_weight: 3"])
def test_the_gradient_of_softmax_with_loss(tmp_path: Path, figures: Figures, settings: str) -> None:
    layer = (
        'layer { name: "it" type: "SoftmaxWithLoss" bottom: "x" bottom: "label" top: "y" '
        f"propagate_down: true propagate_down: false {settings} }}"
    )
    net, random = built(tmp_path, net_of(layer, x=(3, 4, 2), label=(3, 2)))
    net.blobs["label"].data = random.integers(0, 4, (3, 2)).astype(np.float64)
    net.forward()
    net.backward()
    check(net, random, lambda: float(net.core.forward()), figures)


def test_the_gradient_of_the_euclidean_loss(tmp_path: Path, figures: Figures) -> None:
    layer = 'layer { name: "it" type: "EuclideanLoss" bottom: "x" bottom: "z" top: "y" }'
    net, random = built(tmp_path, net_of(layer, x=(3, 4), z=(3, 4)))
    net.forward()
    net.backward()
    check(net, random, lambda: float(net.core.forward()), figures)
