"""The pixels of an image file, exactly as Caffe's convert_imageset has them before it resizes."""

from pathlib import Path

import cv2
import numpy as np

from tools.datasets.image_file import BadImage, read_file

_JPEG = b"\xff\xd8"
_BGRA = bytes.fromhex("0000ff00 00ff0000 ff000000")  # the masks of red, green and blue in a 32-bit BMP
_MASKED = bytes.fromhex("2000 03000000")  # its 32 bits a pixel, and that it has masks
_PNG = b"\x89PNG\r\n\x1a\n"
_ANIMATION = (b"acTL", b"fcTL", b"fdAT")  # chunks of an animated PNG


def decode(path: Path | str, gray: bool = False) -> np.ndarray:
    """The pixels: uint8, HxWx3 (BGR) or HxW (gray). Raises BadImage, also for a file that is cut off.

    The flags are those of Caffe's ReadImageToCVMat (src/caffe/util/io.cpp): a gray image gets three equal channels,
    alpha is dropped and not blended, 16 bits become 8, CMYK becomes BGR, and a JPEG's EXIF orientation is applied.
    One difference: cv::imread, and so convert_imageset, fills the missing part of a cut-off JPEG with gray. Decoding
    from memory, as here, refuses every JPEG that ends before its end marker. A compressed TIFF with a palette is taken
    as convert_imageset takes it: OpenCV does not say that it is cut off.
    """
    data = _as_caffes(read_file(path))
    if not data:
        raise BadImage("empty file")
    try:
        image: np.ndarray | None = cv2.imdecode(np.frombuffer(data, np.uint8), _flags(data, gray))
    except cv2.error as error:
        raise BadImage(f"OpenCV: {error.err}") from None
    if image is None:
        raise BadImage("not an image that OpenCV reads, or cut off")
    return image


def _as_caffes(data: bytes) -> bytes:
    """The file so that OpenCV 5 reads what Caffe's OpenCV reads in it."""
    if data.startswith(_PNG) and _ANIMATION[0] in data:
        return _without_animation(data)
    if data.startswith(b"BM") and data[28:34] == _MASKED and data[54:66] == _BGRA:
        return data[:30] + bytes(4) + data[34:]  # alpha without masks: with them OpenCV 5 rounds gray values otherwise
    return data


def _without_animation(data: bytes) -> bytes:
    """The file without the chunks of an animated PNG: OpenCV 5 gives its first frame, Caffe's OpenCV the picture."""
    kept, at = [_PNG], len(_PNG)
    while at < len(data):
        end = at + 12 + int.from_bytes(data[at : at + 4], "big")  # length, type, content, checksum
        if data[at + 4 : at + 8] not in _ANIMATION:
            kept.append(data[at:end])
        at = end
    return b"".join(kept)


def _flags(data: bytes, gray: bool) -> int:
    flags = cv2.IMREAD_GRAYSCALE if gray else cv2.IMREAD_COLOR
    is_jpeg = data[:2] == _JPEG
    # OpenCV 5 also applies the EXIF orientation of PNG and WebP files; Caffe's OpenCV does not.
    return flags if is_jpeg else flags | cv2.IMREAD_IGNORE_ORIENTATION
