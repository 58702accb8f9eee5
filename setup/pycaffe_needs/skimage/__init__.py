"""The three functions of scikit-image 0.18 that caffe.io calls, on numpy, scipy and Pillow alone.

Debian's scikit-image would bring 45 MB, and matplotlib, to a pycaffe that needs no more of it. setup/get_caffe.sh puts
this package beside pycaffe, so it is written for its Python 3.9; nothing else imports it.
"""

import numpy as np

from . import io, transform

__all__ = ["img_as_float", "io", "transform"]


def img_as_float(image):
    """uint8 0..255 to float64 0..1; a float image as it is."""
    if image.dtype == np.uint8:
        return image / 255.0
    if np.issubdtype(image.dtype, np.floating):
        return image
    raise TypeError(f"an image of {image.dtype}: this stand-in for scikit-image takes uint8 or float")
