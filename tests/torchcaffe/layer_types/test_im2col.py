"""Im2col against real Caffe, bit for bit in its outputs."""

import pytest

from tests.helpers.both_engines import Both, net_of
from tests.helpers.layer_checks import order_of_values_is_caffes
from tests.helpers.layer_text import between_layers, layer
from tests.helpers.refusals import refused

WINDOWS = {
    "plain": ((2, 3, 7, 6), "kernel_size: 3"),
    "rectangular": ((2, 3, 7, 6), "kernel_h: 3 kernel_w: 2 pad_h: 0 pad_w: 1 stride_h: 2 stride_w: 1"),
    "dilated": ((2, 3, 7, 6), "kernel_size: 2 dilation: 3 pad: 2 stride: 2"),
    "in Caffe's other way": ((2, 3, 7, 6), "kernel_size: 3 stride: 2 force_nd_im2col: true"),
    "one axis": ((2, 3, 9), "kernel_size: 3 pad: 1"),
    "three axes": ((2, 2, 4, 5, 6), "kernel_size: 2 kernel_size: 1 kernel_size: 3 stride: 2"),
    "of one image": ((3, 5, 4), "axis: 0 kernel_size: 2"),
    "of rows": ((2, 3, 4, 5), "axis: -2 kernel_size: 2"),
    "larger than the map": ((2, 3, 5, 5), "kernel_size: 6 stride: 2"),
    "the same value in all of a window": ((2, 3, 5, 5), "kernel_size: 2 dilation: 0"),
}


@pytest.mark.parametrize(("shape", "settings_"), WINDOWS.values(), ids=WINDOWS.keys())
def test_im2col(real_caffe, tmp_path, figures, shape, settings_) -> None:
    text = net_of(layer("Im2col", f"convolution_param {{ {settings_} }}"), x=shape)
    both = Both(real_caffe, text, tmp_path)
    both.agree(figures, "Im2col")
    assert (both.found["data y"] == both.right["data y"]).all()


def test_the_order_of_values_is_caffes_behind_a_convolution(real_caffe, tmp_path, figures) -> None:
    text = between_layers("Im2col", "convolution_param { kernel_size: 2 }")
    order_of_values_is_caffes(real_caffe, tmp_path, figures, text, "Im2col")


REFUSALS = {
    "no kernel": (layer("Im2col"), "kernel_size"),
    "a kernel of 0": (layer("Im2col", "convolution_param { kernel_size: 0 }"), "nonzero"),
    "a stride of 0": (layer("Im2col", "convolution_param { kernel_size: 1 stride: 0 }"), "nonzero"),
    "no axis for a map": (layer("Im2col", "convolution_param { kernel_size: 1 axis: 3 }"), "no axes after axis 3"),
    "far too large": (layer("Im2col", "convolution_param { kernel_size: 9 }"), "the kernel is larger"),
}


@pytest.mark.parametrize(("layers", "message"), REFUSALS.values(), ids=REFUSALS.keys())
def test_what_caffe_refuses_is_refused(real_caffe, tmp_path, layers, message) -> None:
    refused(net_of(layers, x=(2, 3, 5, 5)), message, tmp_path, real_caffe)


def test_in_place_is_refused_where_caffe_overwrites_values_that_it_still_needs(tmp_path) -> None:
    refused(
        net_of(layer("Im2col", "convolution_param { kernel_size: 1 }", tops="x"), x=(2, 3, 5, 5)),
        "in-place",
        tmp_path,
        None,
    )
