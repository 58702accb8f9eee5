"""Deconvolution against real Caffe: outputs, and gradients of bottoms and of parameters."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.helpers.both_engines import Both, Figures, net_of
from tests.helpers.layer_checks import initial_parameters_are_caffes
from tests.helpers.layer_text import FILLERS, layer, quick
from tests.helpers.real_caffe import RealCaffe
from tests.helpers.refusals import refused

DECONVOLUTIONS = {
    "plain": "num_output: 4 kernel_size: 3",
    "upsampling": "num_output: 6 kernel_size: 4 stride: 2 pad: 1 group: 6 bias_term: false",
    "in groups": "num_output: 6 kernel_size: 3 stride: 2 group: 3 pad: 1",
    "rectangular": "num_output: 4 kernel_h: 3 kernel_w: 5 pad_h: 0 pad_w: 2 stride_h: 2 stride_w: 1",
    "dilated": "num_output: 4 kernel_size: 3 dilation: 2 pad: 2",
    "1x1": "num_output: 5 kernel_size: 1",
    "more padding than kernel": "num_output: 4 kernel_size: 2 pad: 3",
    "gaps": "num_output: 4 kernel_size: 1 stride: 3",
}


@pytest.mark.parametrize("settings_", DECONVOLUTIONS.values(), ids=DECONVOLUTIONS.keys())
def test_deconvolution(real_caffe: RealCaffe, tmp_path: Path, figures: Figures, settings_: str) -> None:
    text = net_of(layer("Deconvolution", f"convolution_param {{ {settings_} {FILLERS} }}"), x=(3, 6, 8, 7))
    Both(real_caffe, text, tmp_path).agree(figures, "Deconvolution")


@quick
@given(
    kernel=st.tuples(st.integers(1, 4), st.integers(1, 4)),
    stride=st.tuples(st.integers(1, 3), st.integers(1, 3)),
    pad=st.tuples(st.integers(0, 2), st.integers(0, 2)),
    dilation=st.integers(1, 2),
    group=st.integers(1, 3),
    num=st.integers(1, 3),
)
def test_deconvolution_of_any_geometry(
    real_caffe, tmp_path, figures, kernel, stride, pad, dilation, group, num
) -> None:
    geometry = (
        f"kernel_h: {kernel[0]} kernel_w: {kernel[1]} stride_h: {stride[0]} stride_w: {stride[1]} "
        f"pad_h: {pad[0]} pad_w: {pad[1]} dilation: {dilation}"
    )
    settings_ = f"convolution_param {{ num_output: {2 * group} group: {group} {geometry} {FILLERS} }}"
    text = net_of(layer("Deconvolution", settings_), x=(num, 3 * group, 6, 5))
    Both(real_caffe, text, tmp_path).agree(figures, "Deconvolution")


def test_deconvolution_over_one_and_three_axes(real_caffe: RealCaffe, tmp_path: Path, figures: Figures) -> None:
    settings_ = f"convolution_param {{ num_output: 4 kernel_size: 3 pad: 1 stride: 2 {FILLERS} }}"
    for shape in ((2, 3, 9), (2, 3, 3, 4, 5)):
        Both(real_caffe, net_of(layer("Deconvolution", settings_), x=shape), tmp_path).agree(figures, "Deconvolution")


def test_deconvolution_of_several_bottoms_shares_the_filters(real_caffe, tmp_path, figures) -> None:
    settings_ = f"convolution_param {{ num_output: 4 kernel_size: 3 {FILLERS} }}"
    text = net_of(layer("Deconvolution", settings_, "x z", "y w"), x=(2, 3, 4, 4), z=(2, 3, 4, 4))
    Both(real_caffe, text, tmp_path).agree(figures, "Deconvolution")


FILLED = [
    'num_output: 3 kernel_size: 4 group: 3 weight_filler { type: "bilinear" }',
    'num_output: 2 kernel_size: 2 weight_filler { type: "xavier" }',
]


@pytest.mark.parametrize("settings_", FILLED, ids=["bilinear", "xavier"])
def test_parameters_begin_as_caffes(real_caffe: RealCaffe, tmp_path: Path, settings_: str) -> None:
    text = net_of(layer("Deconvolution", f"convolution_param {{ {settings_} }}"), x=(2, 3, 5, 5))
    initial_parameters_are_caffes(real_caffe, tmp_path, text)


REFUSALS = {
    "no kernel": (layer("Deconvolution", "convolution_param { num_output: 3 }"), "kernel_size"),
    "groups that do not divide": (
        layer("Deconvolution", "convolution_param { num_output: 3 kernel_size: 1 group: 2 }"),
        "group 2 must divide",
    ),
    "nothing but padding": (
        layer("Deconvolution", "convolution_param { num_output: 3 kernel_size: 1 pad: 4 }"),
        "the padding is larger",
    ),
}


@pytest.mark.parametrize(("layers", "message"), REFUSALS.values(), ids=REFUSALS.keys())
def test_what_caffe_refuses_is_refused(real_caffe, tmp_path, layers, message) -> None:
    refused(net_of(layers, x=(2, 4, 5, 5)), message, tmp_path, real_caffe)
