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
