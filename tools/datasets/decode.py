"""The pixels of an image file, exactly as Caffe's convert_imageset has them before it resizes."""

import os
import stat
from pathlib import Path

import cv2
import numpy as np


class BadImage(Exception):
    """A file that cannot be read as an image, or is cut off. The text says why."""


def decode(path: Path | str, gray: bool = False) -> np.ndarray:
    """The pixels: uint8, HxWx3 (BGR) or HxW (gray). Raises BadImage, also for a file that is cut off.

    The flags are those of Caffe's ReadImageToCVMat (src/caffe/util/io.cpp): a gray image gets three equal channels,
    alpha is dropped and not blended, 16 bits become 8, CMYK becomes BGR, and a JPEG's EXIF orientation is applied.
    One difference: cv::imread, and so convert_imageset, fills the missing part of a cut-off JPEG with gray. Decoding
    from memory, as here, refuses such a file.
    """
    data = read_file(path)
    if not data:
        raise BadImage("empty file")
    try:
        image = cv2.imdecode(np.frombuffer(data, np.uint8), _flags(data, gray))
    except cv2.error as error:
        raise BadImage(f"OpenCV: {error.err}") from None
    if image is None:
        raise BadImage("not an image that OpenCV reads, or cut off")
    return image


def read_file(path: Path | str) -> bytes:
    """The bytes of a regular file. Raises BadImage, without waiting, for a pipe or device: these may never end."""
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK)
        with open(descriptor, "rb", buffering=0) as file:
            if not stat.S_ISREG(os.fstat(descriptor).st_mode):
                raise BadImage("not a regular file")
            return file.read()
    except OSError as error:
        raise BadImage(error.strerror or "cannot be read") from None


def _flags(data: bytes, gray: bool) -> int:
    flags = cv2.IMREAD_GRAYSCALE if gray else cv2.IMREAD_COLOR
    is_jpeg = data[:2] == b"\xff\xd8"
    # OpenCV 5 also applies the EXIF orientation of PNG and WebP files; Caffe's OpenCV does not.
    return flags if is_jpeg else flags | cv2.IMREAD_IGNORE_ORIENTATION
