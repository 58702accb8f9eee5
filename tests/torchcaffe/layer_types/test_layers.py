"""Each layer type against real Caffe: outputs, gradients of bottoms and of parameters."""

from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

import torchcaffe as caffe
from tests.helpers.both_engines import Both, Figures, distance, net_of
from tests.helpers.layer_text import FILLERS, layer, quick
from tests.helpers.real_caffe import RealCaffe

CONVOLUTIONS = {
    "as AlexNet's first": "num_output: 8 kernel_size: 11 stride: 4",
    "padded": "num_output: 4 kernel_size: 5 pad: 2",
    "in groups": "num_output: 6 kernel_size: 3 group: 3 pad: 1",
    "a filter a channel": "num_output: 6 kernel_size: 3 group: 6",
    "without bias": "num_output: 4 kernel_size: 3 bias_term: false",
    "rectangular": "num_output: 4 kernel_h: 3 kernel_w: 5 pad_h: 0 pad_w: 2 stride_h: 2 stride_w: 1",
    "a size for each axis": "num_output: 4 kernel_size: 2 kernel_size: 3 stride: 2 stride: 3",
    "dilated": "num_output: 4 kernel_size: 3 dilation: 2 pad: 2",
    "1x1": "num_output: 5 kernel_size: 1",
    "counted from the end": "num_output: 4 kernel_size: 3 axis: -3",
    "in Caffe's other way": "num_output: 4 kernel_size: 3 force_nd_im2col: true engine: CAFFE",
}


@pytest.mark.parametrize("settings_", CONVOLUTIONS.values(), ids=CONVOLUTIONS.keys())
def test_convolution(real_caffe: RealCaffe, tmp_path: Path, figures: Figures, settings_: str) -> None:
    text = net_of(layer("Convolution", f"convolution_param {{ {settings_} {FILLERS} }}"), x=(3, 6, 15, 17))
    Both(real_caffe, text, tmp_path).agree(figures, "Convolution")


@quick
@given(
    kernel=st.tuples(st.integers(1, 4), st.integers(1, 4)),
    stride=st.tuples(st.integers(1, 3), st.integers(1, 3)),
    pad=st.tuples(st.integers(0, 3), st.integers(0, 3)),
    dilation=st.integers(1, 2),
    group=st.integers(1, 3),
    num=st.integers(1, 3),
)
def test_convolution_of_any_geometry(real_caffe, tmp_path, figures, kernel, stride, pad, dilation, group, num) -> None:
    geometry = (
        f"kernel_h: {kernel[0]} kernel_w: {kernel[1]} stride_h: {stride[0]} stride_w: {stride[1]} "
        f"pad_h: {pad[0]} pad_w: {pad[1]} dilation: {dilation}"
    )
    settings_ = f"convolution_param {{ num_output: {2 * group} group: {group} {geometry} {FILLERS} }}"
    text = net_of(layer("Convolution", settings_), x=(num, 3 * group, 9, 8))
    Both(real_caffe, text, tmp_path).agree(figures, "Convolution")


def test_convolution_over_one_and_three_axes(real_caffe: RealCaffe, tmp_path: Path, figures: Figures) -> None:
    settings_ = f"convolution_param {{ num_output: 4 kernel_size: 3 pad: 1 stride: 2 {FILLERS} }}"
    for shape in ((2, 3, 9), (2, 3, 5, 6, 7)):
        Both(real_caffe, net_of(layer("Convolution", settings_), x=shape), tmp_path).agree(figures, "Convolution")


@pytest.mark.parametrize("size", [(3, 3), (2, 3), (1, 2), (4, 5)], ids=str)
@pytest.mark.parametrize("groups", [1, 2])
def test_convolution_over_maps_no_larger_than_the_kernel(real_caffe, tmp_path, figures, size, groups) -> None:
    """Wide enough to be done as products of matrices, the second bottom's gradients added to the first's."""
    kernel = 3 if max(size) == 3 else 5
    settings_ = f"num_output: {128 * groups} kernel_size: {kernel} pad: {kernel // 2} group: {groups} {FILLERS}"
    shape = (3, 128 * groups, *size)
    text = net_of(layer("Convolution", f"convolution_param {{ {settings_} }}", "x z", "y w"), x=shape, z=shape)
    Both(real_caffe, text, tmp_path).agree(figures, "Convolution")


def test_filter_gradients_summed_over_many_places_are_as_exact_as_caffes(real_caffe, tmp_path, figures) -> None:
    """28,800 products an element: one float32 sum of them all would be ten times as far from the truth."""
    settings_ = f"convolution_param {{ num_output: 16 kernel_size: 5 pad: 2 {FILLERS} }}"
    both = Both(real_caffe, net_of(layer("Convolution", settings_), x=(50, 1, 24, 24)), tmp_path)
    x, diff = (torch.from_numpy(both.right[name].astype(np.float64)) for name in ("data x", "diff y"))
    truth = torch.nn.grad.conv2d_weight(x, (16, 1, 5, 5), diff, padding=2).numpy()
    caffes, ours = (distance(of["param diff it 0"], truth) for of in (both.right, both.found))
    figures.note("filter gradients over 28,800 places: distance of Caffe to float64", caffes, 1e-5)
    figures.note("filter gradients over 28,800 places: distance of torchcaffe to float64", ours, max(3 * caffes, 6e-7))


def test_convolution_of_several_bottoms_shares_the_filters(real_caffe, tmp_path, figures) -> None:
    settings_ = f"convolution_param {{ num_output: 4 kernel_size: 3 {FILLERS} }}"
    text = net_of(layer("Convolution", settings_, "x z", "y w"), x=(2, 3, 7, 7), z=(2, 3, 7, 7))
    Both(real_caffe, text, tmp_path).agree(figures, "Convolution")


@quick
@given(
    pool=st.sampled_from(["MAX", "AVE"]),
    kernel=st.tuples(st.integers(1, 5), st.integers(1, 5)),
    stride=st.tuples(st.integers(1, 4), st.integers(1, 4)),
    pad=st.tuples(st.integers(0, 4), st.integers(0, 4)),
    size=st.tuples(st.integers(5, 12), st.integers(5, 12)),
    rounding=st.sampled_from(["CEIL", "FLOOR"]),
    mask=st.booleans(),
)
def test_pooling_of_any_geometry(
    real_caffe, tmp_path, figures, pool, kernel, stride, pad, size, rounding, mask
) -> None:
    stride = tuple(min(pair) for pair in zip(stride, kernel, strict=True))
    pad = tuple(min(p, k - 1) for p, k in zip(pad, kernel, strict=True))
    settings_ = (
        f"pooling_param {{ pool: {pool} kernel_h: {kernel[0]} kernel_w: {kernel[1]} stride_h: {stride[0]} "
        f"stride_w: {stride[1]} pad_h: {pad[0]} pad_w: {pad[1]} round_mode: {rounding} }}"
    )
    tops = "y places" if mask and pool == "MAX" else "y"
    text = net_of(layer("Pooling", settings_, tops=tops), x=(2, 3, *size))
    Both(real_caffe, text, tmp_path).agree(figures, "Pooling")


@pytest.mark.parametrize("pool", ["MAX", "AVE"])
def test_global_pooling(real_caffe: RealCaffe, tmp_path: Path, figures: Figures, pool: str) -> None:
    settings_ = f"pooling_param {{ pool: {pool} global_pooling: true }}"
    Both(real_caffe, net_of(layer("Pooling", settings_), x=(2, 3, 6, 5)), tmp_path).agree(figures, "Pooling")


def test_among_equal_values_pooling_takes_the_first(real_caffe: RealCaffe, tmp_path: Path, figures: Figures) -> None:
    x = np.random.default_rng(0).integers(0, 2, (2, 8, 9, 9))
    text = net_of(layer("Pooling", "pooling_param { kernel_size: 3 stride: 2 }"), x=x.shape)
    Both(real_caffe, text, tmp_path, x=x).agree(figures, "Pooling")


LRNS = {
    "as AlexNet's": "local_size: 5 alpha: 0.0001 beta: 0.75",
    "strong": "local_size: 3 alpha: 2 beta: 0.75 k: 2",
    "another beta": "local_size: 7 alpha: 1 beta: 0.5",
    "wider than the channels": "local_size: 15 alpha: 1",
    "within channels": "local_size: 3 alpha: 1 norm_region: WITHIN_CHANNEL",
    "within channels, wide": "local_size: 5 alpha: 0.5 beta: 0.6 k: 3 norm_region: WITHIN_CHANNEL",
}


@pytest.mark.parametrize("settings_", LRNS.values(), ids=LRNS.keys())
def test_lrn(real_caffe: RealCaffe, tmp_path: Path, figures: Figures, settings_: str) -> None:
    text = net_of(layer("LRN", f"lrn_param {{ {settings_} }}"), x=(2, 7, 6, 5))
    Both(real_caffe, text, tmp_path).agree(figures, "LRN")


@pytest.mark.parametrize(
    "settings_", ["num_output: 4", "num_output: 4 bias_term: false", "num_output: 4 transpose: true",
                  "num_output: 4 axis: 2", "num_output: 3 axis: -1 transpose: true"]
)  # fmt: skip
def test_inner_product(real_caffe: RealCaffe, tmp_path: Path, figures: Figures, settings_: str) -> None:
    text = net_of(layer("InnerProduct", f"inner_product_param {{ {settings_} {FILLERS} }}"), x=(3, 2, 5, 4))
    Both(real_caffe, text, tmp_path).agree(figures, "InnerProduct")


@pytest.mark.parametrize("more", ["", "transpose: true", "bias_term: false"])
def test_inner_product_as_large_as_alexnets(real_caffe, tmp_path, figures, more) -> None:
    settings_ = f"num_output: 600 {more} {FILLERS}"
    text = net_of(layer("InnerProduct", f"inner_product_param {{ {settings_} }}"), x=(7, 512))
    Both(real_caffe, text, tmp_path).agree(figures, "InnerProduct")


@pytest.mark.parametrize("tops", ["y", "x"], ids=["apart", "in place"])
@pytest.mark.parametrize("slope", [0, 0.1, 1.5])
def test_relu(real_caffe: RealCaffe, tmp_path: Path, figures: Figures, slope: float, tops: str) -> None:
    text = net_of(layer("ReLU", f"relu_param {{ negative_slope: {slope} }}", tops=tops), x=(2, 3, 4, 5))
    Both(real_caffe, text, tmp_path).agree(figures, "ReLU")


@pytest.mark.parametrize("tops", ["y", "x"], ids=["apart", "in place"])
@pytest.mark.parametrize("ratio", [0.5, 0.3, 0.9])
@pytest.mark.parametrize("phase", [caffe.TRAIN, caffe.TEST], ids=["train", "test"])
def test_dropout_draws_caffes_own_masks(real_caffe, tmp_path, figures, ratio, tops, phase) -> None:
    text = net_of(layer("Dropout", f"dropout_param {{ dropout_ratio: {ratio} }}", tops=tops), x=(3, 4, 5, 6))
    Both(real_caffe, text, tmp_path, phase=phase).agree(figures, "Dropout")


@pytest.mark.parametrize("axis", [1, 0, 3, -2])
def test_softmax(real_caffe: RealCaffe, tmp_path: Path, figures: Figures, axis: int) -> None:
    text = net_of(layer("Softmax", f"softmax_param {{ axis: {axis} }}"), x=(3, 4, 5, 2))
    Both(real_caffe, text, tmp_path).agree(figures, "Softmax")


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


def test_euclidean_loss(real_caffe: RealCaffe, tmp_path: Path, figures: Figures) -> None:
    for shape in ((4, 3), (4, 3, 2, 2)):
        text = net_of(layer("EuclideanLoss", "loss_weight: 1.5", "x z"), x=shape, z=shape)
        Both(real_caffe, text, tmp_path).agree(figures, "EuclideanLoss")


@pytest.mark.parametrize("settings_", ["", "top_k: 3", "ignore_label: 2", "top_k: 2 ignore_label: 0", "axis: -1"])
@pytest.mark.parametrize("tops", ["y", "y classes"], ids=["in all", "class by class"])
def test_accuracy(real_caffe, tmp_path, figures, settings_, tops) -> None:
    random = np.random.default_rng(4)
    shape, labels = ((6, 3, 5), (6, 3)) if "axis" in settings_ else ((6, 5, 3), (6, 3))
    scores = random.integers(0, 6, shape)  # with equal ones, which count against the label
    text = net_of(layer("Accuracy", f"accuracy_param {{ {settings_} }}", "x label", tops), x=shape, label=labels)
    both = Both(real_caffe, text.replace("force_backward: true", ""), tmp_path, backward=False, x=scores,
                label=random.integers(0, 5, labels))  # fmt: skip
    both.agree(figures, "Accuracy")


@pytest.mark.parametrize("type_", ["Pooling", "LRN", "ReLU", "Sigmoid", "TanH", "Softmax"])
def test_an_engine_changes_nothing(real_caffe: RealCaffe, tmp_path: Path, figures: Figures, type_: str) -> None:
    more = {"Pooling": "kernel_size: 3", "LRN": "local_size: 3 alpha: 1"}.get(type_, "")
    text = net_of(layer(type_, f"{type_.lower()}_param {{ engine: CAFFE {more} }}"), x=(2, 3, 6, 5))
    Both(real_caffe, text, tmp_path).agree(figures, type_)


def test_a_blob_read_twice_gets_the_sum_of_both_gradients(real_caffe, tmp_path, figures) -> None:
    parameters = f"inner_product_param {{ num_output: 3 {FILLERS} }}"
    layers = (
        layer("InnerProduct", parameters, "x", "a").replace('"it"', '"one"')
        + layer("InnerProduct", parameters, "x", "b").replace('"it"', '"two"')
        + layer("InnerProduct", parameters, "x", "c").replace('"it"', '"three"')
        + layer("EuclideanLoss", "", "a b", "ab").replace('"it"', '"first loss"')
        + layer("EuclideanLoss", "loss_weight: 0.5", "a c", "ac").replace('"it"', '"second loss"')
    )
    Both(real_caffe, net_of(layers, x=(4, 5)), tmp_path).agree(figures, "Split")


def test_silence_reads_and_gives_no_gradient(real_caffe: RealCaffe, tmp_path: Path, figures: Figures) -> None:
    layers = layer("InnerProduct", f"inner_product_param {{ num_output: 3 {FILLERS} }}", "x", "a")
    layers += 'layer { name: "quiet" type: "Silence" bottom: "a" bottom: "z" }'
    Both(real_caffe, net_of(layers, x=(2, 4), z=(2, 3)), tmp_path).agree(figures, "Silence")


DUMMIES = {
    "a shape for all, zeros": "shape { dim: 2 dim: 3 }",
    "one filler": 'shape { dim: 2 dim: 3 } data_filler { type: "gaussian" std: 2 mean: 1 }',
    "fillers and shapes of their own": 'shape { dim: 4 } shape { dim: 1 dim: 2 } data_filler { type: "uniform" max: 3 }'
    ' data_filler { type: "constant" value: 7 }',
    "the old sizes": 'num: 2 channels: 3 height: 1 width: 2 data_filler { type: "uniform" min: -1 max: 1 }',
}


@pytest.mark.parametrize("settings_", DUMMIES.values(), ids=DUMMIES.keys())
def test_dummy_data_draws_as_caffe_does(real_caffe, tmp_path, figures, settings_) -> None:
    text = f'layer {{ name: "d" type: "DummyData" top: "a" top: "b" dummy_data_param {{ {settings_} }} }}'
    Both(real_caffe, text, tmp_path, backward=False).agree(figures, "DummyData", tolerance=0)
