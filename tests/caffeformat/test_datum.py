"""Datums: equal to those of convert_imageset. Other bytes are refused."""

import subprocess

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from caffeformat import FormatError, datum, lmdb_file
from caffeformat.caffeformat_pb2 import Datum

IMAGES = arrays.arrays(np.uint8, arrays.array_shapes(min_dims=3, max_dims=3, max_side=20))
LABELS = st.integers(-(1 << 31), (1 << 31) - 1)


@given(IMAGES, LABELS)
def test_what_is_encoded_is_decoded_again(image, label):
    found, found_label = datum.decode(datum.encode(image, label))
    assert found.dtype == np.uint8
    assert np.array_equal(found, image)
    assert found_label == label


@given(IMAGES, LABELS)
def test_the_bytes_are_those_of_protobuf(image, label):
    channels, height, width = image.shape
    expected = Datum(channels=channels, height=height, width=width, data=image.tobytes(), label=label, encoded=False)
    assert datum.encode(image, label) == expected.SerializeToString(deterministic=True)


def test_a_view_that_is_not_contiguous_is_encoded_in_chw_order():
    hwc = np.arange(2 * 3 * 4, dtype=np.uint8).reshape(2, 3, 4)
    found, _ = datum.decode(datum.encode(hwc.transpose(2, 0, 1), 0))
    assert np.array_equal(found, hwc.transpose(2, 0, 1))


@pytest.mark.parametrize("options", [[], ["--gray"]])
def test_records_equal_those_of_convert_imageset_on_real_jpegs(options, jpegs, caffe_tools, tmp_path):
    names = sorted(path.name for path in jpegs.iterdir())
    (tmp_path / "list.txt").write_text("".join(f"{name} {1000 * i}\n" for i, name in enumerate(names)))
    tool = [caffe_tools / "convert_imageset", *options, f"{jpegs}/", tmp_path / "list.txt", tmp_path / "lmdb"]
    subprocess.run(tool, check=True, capture_output=True)

    def ours(index: int, name: str) -> tuple[bytes, bytes]:
        mode = cv2.IMREAD_GRAYSCALE if "--gray" in options else cv2.IMREAD_COLOR
        image = cv2.imread(str(jpegs / name), mode)
        chw = image[np.newaxis] if image.ndim == 2 else image.transpose(2, 0, 1)
        return lmdb_file.key(index, name), datum.encode(chw, 1000 * index)

    with lmdb_file.open_reader(tmp_path / "lmdb") as theirs:
        assert list(theirs) == [ours(i, name) for i, name in enumerate(names)]


REFUSED = {
    "a JPEG inside": (Datum(channels=3, height=4, width=4, data=b"\xff\xd8", encoded=True), "JPEG or PNG"),
    "floats": (Datum(channels=1, height=1, width=2, float_data=[0.5, 1.5]), "floats"),
    "pixels missing": (Datum(channels=3, height=4, width=4, data=b"x" * 47), "(3, 4, 4) with 47 bytes"),
    "no size": (Datum(label=3), "(0, 0, 0) with 0 bytes"),
    "negative sizes": (Datum(channels=-1, height=-1, width=4, data=b"1234"), "(-1, -1, 4)"),
}


@pytest.mark.parametrize("message, phrase", REFUSED.values(), ids=REFUSED.keys())
def test_a_datum_without_plain_pixels_is_refused(message, phrase):
    with pytest.raises(FormatError) as error:
        datum.decode(message.SerializeToString())
    assert phrase in str(error.value)


def test_floats_are_read_where_they_are_asked_for():
    record = Datum(channels=1, height=1, width=2, float_data=[0.5, -1.5], label=3)
    image, label = datum.decode(record.SerializeToString(), floats=True)
    assert (image.dtype, image.tolist(), label) == (np.float32, [[[0.5, -1.5]]], 3)
    record.width = 3
    with pytest.raises(FormatError, match=r"a Datum of shape \(1, 1, 3\) with 2 floats"):
        datum.decode(record.SerializeToString(), floats=True)


@pytest.mark.parametrize("encoded", [False, True])
def test_floats_beside_pixels_are_not_read(encoded):
    pixels = np.arange(6, dtype=np.uint8).reshape(1, 2, 3)
    record = Datum(channels=1, height=2, width=3, data=pixels.tobytes(), float_data=[0.5], label=3, encoded=encoded)
    image, label = datum.decode(record.SerializeToString(), lambda data: np.frombuffer(data, np.uint8).reshape(1, 2, 3))
    assert (image.tolist(), label) == (pixels.tolist(), 3)


@given(st.binary(max_size=60))
def test_whatever_the_bytes_are_only_a_format_error_escapes(data):
    try:
        image, _ = datum.decode(data)
    except FormatError as error:
        assert "Datum" in str(error)
    else:
        assert image.size > 0


@pytest.mark.parametrize("image", [np.zeros((3, 4, 4)), np.zeros((4, 4), np.uint8), np.zeros((1, 3, 4, 4), np.uint8)])
def test_an_image_that_is_not_uint8_chw_is_refused(image):
    with pytest.raises(FormatError, match=f"uint8 pixels, CHW; found {image.dtype}"):
        datum.encode(image, 0)


@pytest.mark.parametrize("label", [1 << 31, -(1 << 31) - 1, 0.5, "3"])
def test_a_label_that_is_no_32_bit_integer_is_refused(label):
    with pytest.raises(FormatError, match="32-bit integer"):
        datum.encode(np.zeros((1, 1, 1), np.uint8), label)
