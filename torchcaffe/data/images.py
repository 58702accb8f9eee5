"""Image files, read with OpenCV as in BVLC Caffe: uint8, CHW, BGR."""

from types import ModuleType

import numpy as np

from caffeformat import FormatError


def opencv() -> ModuleType:
    """The package cv2. Raises FormatError where it is missing."""
    try:
        import cv2
    except ImportError:
        needed = "image files need the Python package opencv-python-headless: `pip install opencv-python-headless`"
        raise FormatError(f"{needed}, or an LMDB of decoded images") from None
    cv2.setNumThreads(1)  # one thread prepares the batches; the other cores are for the net
    return cv2


def decode(data: bytes, color: bool | None) -> np.ndarray:
    """The image in the bytes of a JPEG or PNG file: uint8, CHW, BGR. Raises FormatError.

    `color`: True for three channels, False for one (gray), None for as many as the file has.
    """
    cv2 = opencv()
    flag = {True: cv2.IMREAD_COLOR, False: cv2.IMREAD_GRAYSCALE, None: cv2.IMREAD_UNCHANGED}[color]
    image = cv2.imdecode(np.frombuffer(data, np.uint8), flag) if data else None
    if image is None or image.dtype != np.uint8:
        raise FormatError("not an image of 8 bits per channel that OpenCV can decode")
    return chw(image)


def chw(image: np.ndarray) -> np.ndarray:
    """An image of OpenCV, (height, width) or (height, width, channels), as (channels, height, width)."""
    return image[None] if image.ndim == 2 else image.transpose(2, 0, 1)
