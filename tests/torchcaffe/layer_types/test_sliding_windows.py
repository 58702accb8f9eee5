"""The geometry of sliding windows. What the layers do with it: test_conv.py, test_im2col.py."""

import torch

from caffeformat.caffeformat_pb2 import LayerParameter
from torchcaffe.common.blob import Blob
from torchcaffe.common.context import Context
from torchcaffe.layer_types.sliding_windows import SlidingWindowsLayer


def geometry(shape: tuple[int, ...], **settings: object) -> SlidingWindowsLayer:
    param = LayerParameter(name="it", type="Convolution", convolution_param=settings)
    layer = SlidingWindowsLayer(param, Context(), "net.prototxt:1")
    layer.read_geometry(Blob(layer.context, shape, "x"))
    return layer


def test_the_number_of_windows_is_rounded_towards_1() -> None:
    layer = geometry((2, 3, 5), kernel_size=[3], stride=[4])
    assert [layer.window_places([size]) for size in (1, 2, 3, 6, 7)] == [[1], [1], [1], [1], [2]]
    assert layer.window_places([-1]) == [0]


def test_maps_have_one_axis_of_images_and_at_least_one_of_their_own() -> None:
    shapes = {
        (2, 3, 4, 5): (1, (2, 3, 4, 5)),
        (2, 6, 3, 4): (2, (12, 3, 4)),
        (2, 3): (1, (2, 3, 1)),
        (3,): (0, (1, 3, 1)),
    }
    for shape, (axis, maps) in shapes.items():
        layer = geometry(shape, kernel_size=[1], axis=axis)
        assert layer.maps(torch.zeros(shape)).shape == maps


def test_sizes_are_given_once_or_for_each_axis() -> None:
    layer = geometry((2, 3, 5, 5, 5), kernel_size=[3], stride=[1, 2, 3])
    windows = layer.windows([5, 5, 5], [3, 2, 1])
    assert (windows.kernel, windows.stride, windows.pad, windows.dilation) == ([3] * 3, [1, 2, 3], [0] * 3, [1] * 3)
    assert windows.spans() == [5, 5, 3]
