"""The gradients of every layer type against differences of its outputs, in float64. No other program is asked."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch

import torchcaffe as caffe
from caffeformat.blobs import array_to_blob
from tests.helpers.both_engines import Figures, net_of
from tests.helpers.gradient_check import built, check
from torchcaffe.common import context

# Of one bottom.
LAYERS = {
    "AbsVal": "",
    "BNLL": "",
    "BatchNorm": "batch_norm_param { use_global_stats: false eps: 0.1 }",
    "Bias": "bias_param { axis: 2 num_axes: -1 }",
    "Clip": "clip_param { min: -0.7 max: 1.1 }",
    "Convolution": "convolution_param { num_output: 4 kernel_size: 3 pad: 1 stride: 2 group: 2 }",
    "Convolution dilated": "convolution_param { num_output: 2 kernel_size: 2 dilation: 2 }",
    "Convolution along the last axis": "convolution_param { num_output: 3 axis: 3 }",
    "Convolution larger than the map": "convolution_param { num_output: 2 kernel_size: 7 stride: 3 }",
    "Deconvolution": "convolution_param { num_output: 6 kernel_size: 3 pad: 1 stride: 2 group: 2 }",
    "Dropout": "",
    "ELU": "elu_param { alpha: 0.3 }",
    "Exp": "exp_param { base: 2 scale: 0.5 shift: 1 }",
    "Flatten": "flatten_param { axis: 2 }",
    "Im2col": "convolution_param { kernel_size: 3 pad: 2 stride: 2 dilation: 2 }",
    "InnerProduct": "inner_product_param { num_output: 5 }",
    "InnerProduct transposed": "inner_product_param { num_output: 5 transpose: true axis: 2 }",
    "LRN across": "lrn_param { local_size: 3 alpha: 2 beta: 0.75 k: 1.5 }",
    "LRN within": "lrn_param { local_size: 3 alpha: 2 beta: 0.6 norm_region: WITHIN_CHANNEL }",
    "Log": "log_param { base: 3 scale: 0.5 shift: 9 }",
    "MVN": "",
    "MVN across channels": "mvn_param { across_channels: true }",
    "MVN of the mean": "mvn_param { normalize_variance: false }",
    "PReLU": "",
    "PReLU shared": "prelu_param { channel_shared: true }",
    "Pooling AVE": "pooling_param { pool: AVE kernel_size: 3 stride: 2 pad: 2 }",
    "Pooling MAX": "pooling_param { kernel_size: 3 stride: 2 pad: 1 }",
    "Power": "power_param { power: 3 scale: 0.5 shift: 9 }",
    "ReLU leaky": "relu_param { negative_slope: 0.3 }",
    "Reduction": "reduction_param { axis: 2 coeff: 0.7 }",
    "Reduction ASUM": "reduction_param { operation: ASUM axis: 1 }",
    "Reduction MEAN": "reduction_param { operation: MEAN axis: -1 }",
    "Reduction SUMSQ": "reduction_param { operation: SUMSQ }",
    "Reshape": "reshape_param { shape { dim: 0 dim: -1 dim: 3 } }",
    "SPP": "spp_param { pool: AVE pyramid_height: 2 }",
    "SPP MAX": "spp_param { pyramid_height: 2 }",
    "Scale": "scale_param { num_axes: 2 bias_term: true }",
    "Sigmoid": "",
    "Softmax": "softmax_param { axis: 2 }",
    "Swish": "swish_param { beta: 1.3 }",
    "TanH": "",
    "Tile": "tile_param { axis: 1 tiles: 3 }",
}
# Of two bottoms of one shape.
PAIRS = {
    "Bias": "bias_param { axis: 0 }",
    "Concat": "concat_param { axis: 0 }",
    "Eltwise MAX": "eltwise_param { operation: MAX }",
    "Eltwise PROD": "eltwise_param { operation: PROD }",
    "Eltwise PROD by division": "eltwise_param { operation: PROD stable_prod_grad: false }",
    "Eltwise SUM": "eltwise_param { coeff: 2 coeff: -3 }",
    "Scale": "scale_param { axis: 0 bias_term: true }",
}
OTHERS = {
    "Slice": 'bottom: "x" top: "y" top: "z" slice_param { axis: 1 slice_point: 1 }',
    "Split": 'bottom: "x" top: "y" top: "z"',
    "Crop": 'bottom: "x" bottom: "size" top: "y" crop_param { axis: 1 offset: 1 }',
    "Parameter": 'top: "y" parameter_param { shape { dim: 2 dim: 3 } }',
    "Embed": 'bottom: "label" top: "y" loss_weight: 1 embed_param { num_output: 3 input_dim: 4 }',
}
# Of the sequences x; the indicators of whether they go on have no gradient.
SEQUENCES = {
    "LSTM": 'bottom: "x" bottom: "cont" top: "y" recurrent_param { num_output: 2 }',
    "LSTM static": 'bottom: "x" bottom: "cont" bottom: "static" top: "y" recurrent_param { num_output: 2 }',
    "LSTMUnit": 'bottom: "c" bottom: "x" bottom: "cont" top: "y" top: "z"',
    "RNN": 'bottom: "x" bottom: "cont" top: "y" recurrent_param { num_output: 2 }',
}
LOSSES = [
    "SigmoidCrossEntropyLoss",
    "MultinomialLogisticLoss",
    "HingeLoss",
    "HingeLoss hinge_loss_param { norm: L2 }",
    "SoftmaxWithLoss",
    "SoftmaxWithLoss loss_param { ignore_label: 1 normalization: BATCH_SIZE }",
]
ALONE = ["EuclideanLoss", "ContrastiveLoss", "InfogainLoss", "BatchReindex", "Filter"]  # in a test of their own
WITHOUT_GRADIENT = {
    "Accuracy",
    "ArgMax",
    "Data",
    "DummyData",
    "HDF5Data",
    "HDF5Output",
    "ImageData",
    "Input",
    "MemoryData",
    "Python",  # the user's
    "Silence",
    "Threshold",
    "WindowData",
}


@pytest.fixture(autouse=True)
def in_float64() -> Iterator[None]:
    caffe.set_mode_cpu()
    caffe.set_random_seed(2)
    context.current().dtype = torch.float64
    yield
    context.current().dtype = torch.float32


def test_no_type_is_left_out() -> None:
    names = [*LAYERS, *PAIRS, *OTHERS, *SEQUENCES, *LOSSES, *ALONE]
    assert {name.split()[0] for name in names} == set(caffe.layer_type_list()) - WITHOUT_GRADIENT


@pytest.mark.parametrize("name", LAYERS)
def test_the_gradient_of_a_weighted_sum_of_the_outputs(tmp_path: Path, figures: Figures, name: str) -> None:
    layer = f'layer {{ name: "it" type: "{name.split()[0]}" bottom: "x" top: "y" {LAYERS[name]} }}'
    check_weighted_sum(tmp_path, figures, net_of(layer, x=(2, 4, 5, 6)))


@pytest.mark.parametrize("name", PAIRS)
def test_the_gradients_of_two_bottoms(tmp_path: Path, figures: Figures, name: str) -> None:
    layer = f'layer {{ name: "it" type: "{name.split()[0]}" bottom: "x" bottom: "z" top: "y" {PAIRS[name]} }}'
    check_weighted_sum(tmp_path, figures, net_of(layer, x=(3, 4), z=(3, 4)))


@pytest.mark.parametrize("name", OTHERS)
def test_the_gradients_of_layers_with_other_bottoms_or_tops(tmp_path: Path, figures: Figures, name: str) -> None:
    layer = f'layer {{ name: "it" type: "{name}" {OTHERS[name]} }}'
    shapes = {"x": (2, 4, 5), "size": (2, 2, 3), "label": (4,)}
    text = net_of(layer, **{blob: shape for blob, shape in shapes.items() if f'bottom: "{blob}"' in layer})
    if "label" in layer:  # indices have no gradient, and are not forced to have one
        text = text.removeprefix("force_backward: true\n")
    check_weighted_sum(tmp_path, figures, text, label=np.array([3, 0, 1, 3]))


@pytest.mark.parametrize("name", SEQUENCES)
def test_the_gradients_of_sequences(tmp_path: Path, figures: Figures, name: str) -> None:
    steps = 1 if name == "LSTMUnit" else 3
    shapes = {"x": (steps, 3, 8), "c": (1, 3, 2), "static": (3, 2)}
    layer = f'layer {{ name: "it" type: "{name.split()[0]}" {SEQUENCES[name]} }}'
    # All sequences begin with the first of several timesteps, or a pass would depend on the one before.
    rows = {"goes_on": (1, 1)} if steps == 1 else {"begins": (1, 0), "goes_on": (steps - 1, 1)}
    text = "".join(
        f'layer {{ name: "{blob}" type: "DummyData" top: "{blob}" dummy_data_param {{ shape {{ dim: {count} dim: 3 }} '
        f"data_filler {{ value: {value} }} }} }}"
        for blob, (count, value) in rows.items()
    )
    bottoms = "".join(f'bottom: "{blob}" ' for blob in rows)
    text += f'layer {{ name: "cont" type: "Concat" {bottoms} top: "cont" concat_param {{ axis: 0 }} }} {layer}'
    used = {blob: shape for blob, shape in shapes.items() if f'bottom: "{blob}"' in layer}
    check_weighted_sum(tmp_path, figures, net_of(text, **used))


@pytest.mark.parametrize("loss_weight", [1, 3])
@pytest.mark.parametrize("loss", LOSSES)
def test_the_gradient_of_a_loss(tmp_path: Path, figures: Figures, loss: str, loss_weight: int) -> None:
    type_, _, settings = loss.partition(" ")
    bottoms = 'bottom: "x" bottom: "label" propagate_down: true propagate_down: false'
    layer = f'layer {{ name: "it" type: "{type_}" {bottoms} top: "y" loss_weight: {loss_weight} {settings} }}'
    shape = {"HingeLoss": (3,), "MultinomialLogisticLoss": (3,), "SoftmaxWithLoss": (3, 2)}.get(type_, (3, 4, 2))
    net, random = built(tmp_path, net_of(layer, x=(3, 4, 2), label=shape))
    if type_ == "MultinomialLogisticLoss":  # of probabilities
        net.blobs["x"].data = np.abs(net.blobs["x"].data) + 0.1
    net.blobs["label"].data = random.integers(0, 4 if type_ == "SoftmaxWithLoss" else 2, shape).astype(float)
    net.forward()
    net.backward()
    check(net, random, lambda: float(net.core.forward()), figures)


@pytest.mark.parametrize("settings_", ["", "contrastive_loss_param { margin: 9 legacy_version: true }"])
def test_the_gradients_of_the_contrastive_loss(tmp_path: Path, figures: Figures, settings_: str) -> None:
    """Its divisor, distance + 1e-4 in place of the distance, is Caffe's: the gradient is 1e-4 wrong, relatively."""
    layer = f'layer {{ name: "it" type: "ContrastiveLoss" bottom: "x" bottom: "z" bottom: "label" {settings_} }}'
    net, random = built(tmp_path, net_of(layer, x=(6, 3), z=(6, 3), label=(6,)))
    net.blobs["label"].data = np.array([1, 0, 0, 1, 0, 0]) if settings_ else np.ones(6)
    net.forward()
    net.backward()
    check(net, random, lambda: float(net.core.forward()), figures)


def test_the_gradient_of_the_infogain_loss(tmp_path: Path, figures: Figures) -> None:
    (tmp_path / "H").write_bytes(array_to_blob(np.random.default_rng(1).random((4, 4))).SerializeToString())
    settings_ = f'infogain_loss_param {{ source: "{tmp_path}/H" }} loss_param {{ ignore_label: 1 }}'
    down = "propagate_down: true propagate_down: false"
    layer = f'layer {{ name: "it" type: "InfogainLoss" bottom: "x" bottom: "label" {down} {settings_} }}'
    net, random = built(tmp_path, net_of(layer, x=(6, 4), label=(6,)))
    net.blobs["label"].data = np.array([1, 0, 3, 2, 1, 0])
    net.forward()
    net.backward()
    check(net, random, lambda: float(net.core.forward()), figures)


def test_the_gradients_of_the_euclidean_loss(tmp_path: Path, figures: Figures) -> None:
    layer = 'layer { name: "it" type: "EuclideanLoss" bottom: "x" bottom: "z" top: "y" }'
    net, random = built(tmp_path, net_of(layer, x=(3, 4), z=(3, 4)))
    net.forward()
    net.backward()
    check(net, random, lambda: float(net.core.forward()), figures)


@pytest.mark.parametrize("type_", ["BatchReindex", "Filter"])
def test_the_gradient_of_chosen_images(tmp_path: Path, figures: Figures, type_: str) -> None:
    """What chooses them has no gradient, and is not forced to have one: a layer below asks for that of the images."""
    text = net_of(
        'layer { name: "below" type: "Bias" bottom: "x" top: "a" propagate_down: true bias_param { axis: 0 } }\n'
        f'layer {{ name: "it" type: "{type_}" bottom: "a" bottom: "label" top: "y" }}'
        'layer { name: "loss" type: "Reduction" bottom: "y" top: "loss" reduction_param { operation: SUMSQ } '
        "loss_weight: 1 }",
        x=(4, 3, 2),
        label=(4,),
    )
    text = text.removeprefix("force_backward: true\n")
    check_weighted_sum(tmp_path, figures, text, label=np.array([3, 0, 0, 2]))


def check_weighted_sum(tmp_path: Path, figures: Figures, text: str, **inputs: np.ndarray) -> None:
    net, random = built(tmp_path, text)
    for name in inputs.keys() & set(net.inputs):
        net.blobs[name].data = inputs[name]
    for blobs in net.params.values():
        for blob in blobs:
            blob.data = random.standard_normal(blob.shape)
    weights = {name: random.standard_normal(net.blobs[name].shape) for name in net.outputs}

    def score() -> float:
        outputs = net.forward()
        return float(sum((outputs[name] * weights[name]).sum() for name in weights))

    score()
    net.backward(**weights)
    check(net, random, score, figures)
