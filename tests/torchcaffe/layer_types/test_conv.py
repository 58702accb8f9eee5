"""Convolution against real Caffe: outputs, and gradients of bottoms and of parameters."""

from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from tests.helpers.both_engines import Both, Figures, distance, net_of
from tests.helpers.layer_text import FILLERS, layer, quick
from tests.helpers.real_caffe import RealCaffe
from tests.helpers.refusals import refused

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


AXES = {
    "without a place": ((4, 6), "group: 3"),
    "without a place, in one group": ((4, 6), "kernel_size: 7"),
    "of one vector": ((6,), "axis: 0"),
    "of one image": ((6, 5, 4), "axis: 0 kernel_size: 2 pad: 1"),
    "of images along two axes": ((2, 3, 6, 5, 4), "axis: 2 kernel_size: 2 stride: 2 group: 2"),
    "of rows": ((2, 3, 6, 5), "axis: -2 kernel_size: 2"),
    "of columns along three axes": ((2, 3, 2, 6), "axis: 3 bias_term: false"),
    "over four axes": ((2, 4, 3, 4, 3, 5), "kernel_size: 2 pad: 1 stride: 2 dilation: 2 group: 2"),
    "over four axes, a size for each": (
        (2, 4, 3, 4, 3, 5),
        "kernel_size: 1 kernel_size: 2 kernel_size: 3 kernel_size: 2 stride: 1 stride: 3 stride: 2 stride: 1",
    ),
    "a window larger than the map": ((2, 4, 5, 5), "kernel_size: 6 stride: 2"),
    "a window larger than the padded map": ((2, 4, 2, 3), "kernel_size: 6 stride: 5 pad: 1 group: 2"),
    "the same value in all of a window": ((2, 4, 5, 5), "kernel_size: 3 dilation: 0 pad: 1"),
    "almost all padding": ((2, 4, 2, 2), "kernel_size: 1 pad: 3 stride: 9"),
}


@pytest.mark.parametrize("type_", ["Convolution", "Deconvolution"])
@pytest.mark.parametrize(("shape", "settings_"), AXES.values(), ids=AXES.keys())
def test_convolution_along_other_axes_and_of_odd_geometry(
    real_caffe, tmp_path, figures, shape, settings_, type_
) -> None:
    text = net_of(layer(type_, f"convolution_param {{ num_output: 6 {settings_} {FILLERS} }}"), x=shape)
    Both(real_caffe, text, tmp_path).agree(figures, type_)


@pytest.mark.parametrize("channels", [1, 8])
def test_filter_gradients_summed_over_many_places_are_as_exact_as_caffes(
    real_caffe, tmp_path, figures, channels
) -> None:
    """28,800 products an element: one float32 sum of them all would be ten times as far from the truth."""
    settings_ = f"convolution_param {{ num_output: 16 kernel_size: 5 pad: 2 {FILLERS} }}"
    both = Both(real_caffe, net_of(layer("Convolution", settings_), x=(50, channels, 24, 24)), tmp_path)
    x, diff = (torch.from_numpy(both.right[name].astype(np.float64)) for name in ("data x", "diff y"))
    truth = torch.nn.grad.conv2d_weight(x, (16, channels, 5, 5), diff, padding=2).numpy()
    caffes, ours = (distance(of["param diff it 0"], truth) for of in (both.right, both.found))
    kind = f"filter gradients over 28,800 places, {channels} channels: distance of"
    figures.note(f"{kind} Caffe to float64", caffes, 1e-5)
    figures.note(f"{kind} torchcaffe to float64", ours, max(3 * caffes, 6e-7))


@pytest.mark.parametrize("geometry", ["kernel_size: 3 pad: 1 group: 2", "kernel_size: 5 stride: 2 pad: 3"])
def test_filters_learn_from_many_images_of_few_positions(real_caffe, tmp_path, figures, geometry) -> None:
    settings_ = f"convolution_param {{ num_output: 6 {geometry} {FILLERS} }}"
    text = net_of(layer("Convolution", settings_), x=(20, 4, 3, 3))
    Both(real_caffe, text, tmp_path).agree(figures, "Convolution")


def test_convolution_of_several_bottoms_shares_the_filters(real_caffe, tmp_path, figures) -> None:
    settings_ = f"convolution_param {{ num_output: 4 kernel_size: 3 {FILLERS} }}"
    text = net_of(layer("Convolution", settings_, "x z", "y w"), x=(2, 3, 7, 7), z=(2, 3, 7, 7))
    Both(real_caffe, text, tmp_path).agree(figures, "Convolution")


REFUSALS = {
    "no kernel": (layer("Convolution", "convolution_param { num_output: 2 }"), "kernel_size"),
    "an axis that is not there": (
        layer("Convolution", "convolution_param { num_output: 2 axis: 4 }"),
        "axis 4 of a bottom with 4 axes",
    ),
    "a height without an axis for it": (
        layer("Convolution", "convolution_param { num_output: 2 axis: 2 kernel_h: 1 kernel_w: 1 }"),
        "kernel_h & kernel_w can only be used for 2D",
    ),
    "sizes for other axes": (
        layer("Convolution", "convolution_param { num_output: 2 axis: 3 kernel_size: 1 kernel_size: 1 }"),
        "once per spatial dimension; found 2 for 0",
    ),
    "a window larger by more than the stride": (
        layer("Convolution", "convolution_param { num_output: 2 kernel_size: 9 stride: 2 }"),
        "the kernel is larger",
    ),
}


@pytest.mark.parametrize(("layers", "message"), REFUSALS.values(), ids=REFUSALS.keys())
def test_what_caffe_refuses_is_refused(real_caffe, tmp_path, layers, message) -> None:
    refused(net_of(layers, x=(2, 4, 5, 5)), message, tmp_path, real_caffe)
