"""Datum: one image and its label, as Caffe keeps them in a database.

Pixels are uint8, CHW, and BGR if there are three channels, as OpenCV reads them. `encode` writes the same bytes as BVLC
Caffe's convert_imageset (src/caffe/util/io.cpp).
"""

import operator
from collections.abc import Callable
from functools import lru_cache
from typing import TYPE_CHECKING

import numpy as np

from caffeformat.errors import FormatError
from caffeformat.wire import varint

if TYPE_CHECKING:
    from caffeformat.caffeformat_pb2 import Datum  # protobuf, which only reading needs: it takes long to load


def encode(image: np.ndarray, label: int) -> bytes:
    """The Datum of `image` (uint8, CHW) with `label` (int32). Raises FormatError."""
    if image.dtype != np.uint8 or image.ndim != 3:
        raise FormatError(f"a Datum holds uint8 pixels, CHW; found {image.dtype} of shape {image.shape}")
    return encode_bytes(image.tobytes(), image.shape, label)


def encode_bytes(pixels: bytes, shape: tuple[int, int, int], label: int) -> bytes:
    """The Datum of an image of `shape` (CHW) whose bytes are `pixels`. Raises FormatError for a label."""
    return b"".join((head(shape), pixels, _tail(label)))


def decode(
    data: bytes, read: Callable[[bytes], np.ndarray] | None = None, floats: bool = False
) -> tuple[np.ndarray, int]:
    """The image (uint8, CHW, read-only) and the label of a Datum. Raises FormatError.

    `read` decodes a JPEG or PNG file into an image (uint8, CHW). Without it, a Datum with such a file is an error. With
    `floats`, a Datum of floats and without pixels is an image of float32; else it is an error, too.
    """
    datum = _parsed(data)
    if datum.encoded and read:
        return read(datum.data), datum.label
    if datum.encoded:
        raise FormatError("the Datum holds a JPEG or PNG file; pack it again without --encoded")
    shape = (datum.channels, datum.height, datum.width)
    pixels = datum.data
    if datum.float_data and not pixels:  # beside pixels Caffe ignores them
        if not floats:
            raise FormatError("the Datum holds floats; only uint8 pixels are supported")
        if len(datum.float_data) != shape[0] * shape[1] * shape[2] or min(shape) < 1:
            raise FormatError(f"a Datum of shape {shape} with {len(datum.float_data)} floats")
        return np.array(datum.float_data, np.float32).reshape(shape), datum.label
    if len(pixels) != shape[0] * shape[1] * shape[2] or min(shape) < 1:
        raise FormatError(f"a Datum of shape {shape} with {len(pixels)} bytes of pixels")
    return np.frombuffer(pixels, np.uint8).reshape(shape), datum.label


def _parsed(data: bytes) -> "Datum":
    from google.protobuf.message import DecodeError

    from caffeformat.caffeformat_pb2 import Datum

    try:
        return Datum.FromString(data)
    except DecodeError:
        raise FormatError(f"{len(data)} bytes that are not a Datum") from None


# A database has few different shapes and labels. Their bytes are cached, so encoding an image copies its pixels once.


@lru_cache(maxsize=1024)
def head(shape: tuple[int, int, int]) -> bytes:
    """All bytes that `encode` writes before the pixels of an image of `shape` (CHW)."""
    # channels, height and width are the fields 1 to 3; then the tag and the length of data (4, length-delimited).
    sizes = b"".join(varint(field << 3) + varint(size) for field, size in enumerate(shape, 1))
    return sizes + varint(4 << 3 | 2) + varint(shape[0] * shape[1] * shape[2])


@lru_cache(maxsize=1 << 16)
def _tail(label: int) -> bytes:
    """All bytes after the pixels. convert_imageset writes `encoded` even though it has its default value."""
    try:
        number = operator.index(label)
    except TypeError:
        number = 1 << 31
    if not -(1 << 31) <= number < 1 << 31:
        raise FormatError(f"a Datum's label is a 32-bit integer; found {label!r}")
    # label is field 5, of 64 bits if it is below 0; encoded is field 7.
    return varint(5 << 3) + varint(number % (1 << 64)) + varint(7 << 3) + varint(0)
