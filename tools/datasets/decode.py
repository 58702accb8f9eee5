"""The pixels of an image file, exactly as Caffe's convert_imageset has them before it resizes."""

from pathlib import Path

import cv2
import numpy as np

from tools.datasets.image_file import BadImage, read_file

_JPEG, _END = b"\xff\xd8", b"\xff\xd9"  # the markers at the start and the end of a JPEG
_NO_PIXELS = b"\x55\xaa\x33\xcc" * 64
_PNG = b"\x89PNG\r\n\x1a\n"
_ANIMATION = (b"acTL", b"fcTL", b"fdAT")  # chunks of an animated PNG


def decode(path: Path | str, gray: bool = False) -> np.ndarray:
    """The pixels: uint8, HxWx3 (BGR) or HxW (gray). Raises BadImage, also for a file that is cut off.

    The flags are those of Caffe's ReadImageToCVMat (src/caffe/util/io.cpp): a gray image gets three equal channels,
    alpha is dropped and not blended, 16 bits become 8, CMYK becomes BGR, and a JPEG's EXIF orientation is applied.
    One difference: cv::imread, and so convert_imageset, fills the missing part of a cut-off JPEG with gray. Decoding
    from memory, as here, refuses such a file, unless it lacks nothing but the marker at its end.
    """
    data = _without_animation(read_file(path))
    if not data:
        raise BadImage("empty file")
    flags = _flags(data, gray)
    try:
        image = _imdecode(data, flags)
        if image is None and data[:2] == _JPEG:
            image = _without_end(data, flags)
    except cv2.error as error:
        raise BadImage(f"OpenCV: {error.err}") from None
    if image is None:
        raise BadImage("not an image that OpenCV reads, or cut off")
    return image


def _imdecode(data: bytes, flags: int) -> np.ndarray | None:
    image: np.ndarray | None = cv2.imdecode(np.frombuffer(data, np.uint8), flags)
    return image


def _without_animation(data: bytes) -> bytes:
    """The file without the chunks of an animated PNG: OpenCV 5 gives its first frame, Caffe's OpenCV the picture."""
    if not data.startswith(_PNG) or _ANIMATION[0] not in data:
        return data
    kept, at = [_PNG], len(_PNG)
    while at < len(data):
        end = at + 12 + int.from_bytes(data[at : at + 4], "big")  # length, type, content, checksum
        if data[at + 4 : at + 8] not in _ANIMATION:
            kept.append(data[at:end])
        at = end
    return b"".join(kept)


def _without_end(data: bytes, flags: int) -> np.ndarray | None:
    """The pixels of a JPEG that lacks only its end marker; None for one that lacks pixels, too.

    The decoder takes bytes before the marker for pixels, if some are missing, and passes over them otherwise.
    """
    body = data[:-1] if data.endswith(b"\xff") else data
    image, other = _imdecode(body + _END, flags), _imdecode(body + _NO_PIXELS + _END, flags)
    return image if image is not None and other is not None and np.array_equal(image, other) else None


def _flags(data: bytes, gray: bool) -> int:
    flags = cv2.IMREAD_GRAYSCALE if gray else cv2.IMREAD_COLOR
    is_jpeg = data[:2] == _JPEG
    # OpenCV 5 also applies the EXIF orientation of PNG and WebP files; Caffe's OpenCV does not.
    return flags if is_jpeg else flags | cv2.IMREAD_IGNORE_ORIENTATION
