"""Image files as BVLC Caffe reads them, with OpenCV: uint8, CHW, blue before green before red."""

import numpy as np

from caffeformat import FormatError


def opencv():
    """The package cv2. Raises FormatError where it is missing."""
    try:
        import cv2
    except ImportError:
        needed = "image files need the Python package opencv-python-headless: `pip install opencv-python-headless`"
        raise FormatError(f"{needed}, or an LMDB of decoded images") from None
    cv2.setNumThreads(1)  # the batches are made ahead, in one thread; what is left belongs to the net
    return cv2


def decode(data: bytes, color: bool | None) -> np.ndarray:
    """The image in the bytes of a JPEG or PNG file: in three channels, in gray, or, for None, in as many as it has.
    Raises FormatError."""
    cv2 = opencv()
    flag = {True: cv2.IMREAD_COLOR, False: cv2.IMREAD_GRAYSCALE, None: cv2.IMREAD_UNCHANGED}[color]
    image = cv2.imdecode(np.frombuffer(data, np.uint8), flag) if data else None
    if image is None or image.dtype != np.uint8:
        raise FormatError("no image of 8 bits a channel that OpenCV can decode")
    return chw(image)


def chw(image: np.ndarray) -> np.ndarray:
    """OpenCV's height, width(, channels) with the channels first."""
    return image[None] if image.ndim == 2 else image.transpose(2, 0, 1)
