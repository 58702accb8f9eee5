"""Blobs: their shapes, the memory of their gradients, and their memory format."""

import re

import numpy as np
import pytest
import torch

from torchcaffe.common.blob import Blob, BlobVec, ShapeError, check_shape, laid_out, to_device, upload
from torchcaffe.common.context import Context


def blob(*shape: int) -> Blob:
    return Blob(Context(), shape)


@pytest.mark.parametrize(
    ("shape", "message"),
    [
        ((2, -1), "a blob of 2 x -1: a size is negative"),
        ((1 << 16, 1 << 15), "blob size exceeds INT_MAX, 2147483647 values"),
        ((1,) * 33, "a blob of 33 axes; Caffe takes 32 at most"),
    ],
)
def test_a_shape_that_caffe_refuses_is_refused(shape: tuple[int, ...], message: str) -> None:
    with pytest.raises(ShapeError, match=message):
        check_shape(shape)


def test_the_largest_shapes_of_caffe_are_taken() -> None:
    check_shape((2**31 - 1,))
    check_shape((1,) * 32)


def test_a_new_blob_holds_zeros_and_no_gradient() -> None:
    one = blob(2, 3)
    assert (one.shape, one.count, one.grad) == ((2, 3), 6, None)
    assert not one.data.any()
    assert not one.diff.any()


def test_on_the_cpu_data_and_diff_are_views_that_can_be_written_to() -> None:
    one = blob(2, 2)
    one.data[0, 1] = 5
    one.diff[1, 0] = 7
    assert one.value[0, 1] == 5
    assert one.gradient()[1, 0] == 7


@pytest.mark.parametrize("side", ["data", "diff"])
@pytest.mark.parametrize("value", [np.zeros(3), np.zeros((1, 3)), np.zeros((1, 3, 3)), 0.0, [[0.0]]])
def test_an_array_of_another_shape_is_not_spread_over_a_blob(side: str, value) -> None:
    one = blob(3, 3)
    setattr(one, side, np.ones((3, 3)))
    said = rf"a blob of \(3, 3\): an array of {re.escape(str(np.shape(value)))} was assigned to its {side}\."
    with pytest.raises(ValueError, match=said):
        setattr(one, side, value)
    assert getattr(one, side).all()


def test_a_reshape_keeps_the_values_that_have_room() -> None:
    one = blob(2, 3)
    one.data = np.arange(6).reshape(2, 3)
    one.reshape(3, 2)
    assert one.data.tolist() == [[0, 1], [2, 3], [4, 5]]
    one.reshape(4)
    assert one.data.tolist() == [0, 1, 2, 3]
    one.reshape(5)
    assert one.data.tolist() == [0, 0, 0, 0, 0]


@pytest.mark.parametrize("shape", [(1.5,), (2.0, 3), ("2",), ((2, 3),)])
def test_a_size_that_is_no_whole_number_is_a_type_error(shape: tuple) -> None:
    with pytest.raises(TypeError, match="cannot be interpreted as an integer"):
        blob(2).reshape(*shape)


def test_only_a_blob_takes_the_place_of_a_parameter() -> None:
    blobs, other = BlobVec([blob(2), blob(3)]), blob(2)
    blobs[0] = other
    blobs[1:] = [other]
    assert blobs[0] is blobs[1] is other
    for index, value in ((0, np.zeros(2)), (0, 1.0), (slice(None), np.zeros((2, 2)))):
        with pytest.raises(TypeError, match=r"Its values are set by \[\.\.\.\]\.data\[\.\.\.\] = array"):
            blobs[index] = value
    assert blobs[0] is blobs[1] is other


def test_gradients_add_up_until_they_are_cleared_and_then_use_the_same_memory() -> None:
    one = blob(2, 2)
    ones = torch.ones(2, 2)
    one.add_product(ones, ones)
    memory = one.gradient().data_ptr()
    one.add_product(ones, ones)
    one.add_gradient(ones)
    assert one.gradient().tolist() == [[5, 5], [5, 5]]
    one.clear_gradient()
    assert one.grad is None
    one.add_product(ones, ones)
    assert one.gradient().tolist() == [[2, 2], [2, 2]]
    assert one.gradient().data_ptr() == memory


def test_attach_brings_back_the_tensors_of_an_earlier_moment() -> None:
    one = blob(2)
    one.data, one.diff = np.array([1, 2]), np.array([3, 4])
    tensors = one.tensors()
    one.value, one.grad = torch.zeros(2), None
    one.attach(*tensors)
    assert (one.data.tolist(), one.diff.tolist()) == ([1, 2], [3, 4])


def test_images_are_channels_last_on_the_cpu_even_with_one_channel() -> None:
    for channels in (1, 3):
        images = laid_out(torch.arange(2.0 * channels * 4 * 5).reshape(2, channels, 4, 5), Context())
        assert images.stride() == (channels * 20, 1, channels * 5, channels)
        assert images.flatten()[:3].tolist() == [0, 1, 2]


def test_an_upload_keeps_the_dtype_and_to_device_gives_the_contexts() -> None:
    bytes_ = np.arange(4, dtype=np.uint8)
    bytes_.flags.writeable = False
    assert upload(bytes_, Context()).dtype == torch.uint8
    assert to_device(bytes_, Context()).dtype == torch.float32
