"""Pooling against real Caffe: maxima and means, their places and gradients."""

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.helpers.both_engines import Both, Figures, net_of
from tests.helpers.layer_text import layer, quick
from tests.helpers.real_caffe import RealCaffe
from tests.helpers.refusals import refused


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


def test_a_plane_without_pixels_is_refused_where_caffe_pools_nothing_to_0(tmp_path) -> None:
    text = layer("Pooling", "pooling_param { pool: AVE kernel_size: 3 stride: 2 pad: 1 }")
    refused(net_of(text, x=(2, 4, 1, 0)), r"a bottom of \(2, 4, 1, 0\)", tmp_path, None)
