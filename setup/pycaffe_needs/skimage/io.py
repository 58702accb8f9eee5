import numpy as np
from PIL import Image


def imread(path, as_gray=False, as_grey=False):
    """The image as uint8 H x W x 3 (RGB), H x W x 4 or H x W (grayscale); a colour one `as_gray` as float64 0..1.

    caffe.io says `as_grey`, as scikit-image did before 0.16.
    """
    image = Image.open(path)
    if image.mode not in ("L", "RGB", "RGBA"):
        image = image.convert("RGB")
    pixels = np.asarray(image)
    if pixels.ndim == 3 and (as_gray or as_grey):
        return pixels[:, :, :3] @ (np.array([0.2125, 0.7154, 0.0721]) / 255.0)  # luminance, ITU-R BT.709
    return pixels
