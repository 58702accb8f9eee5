"""pycaffe's `caffe.io`: images, their preparation for a net, and conversions between arrays and Caffe's messages.

Images are float32, (height, width, channels), RGB, 0 to 1. Pillow reads them and scipy resizes them, as scikit-image
does for pycaffe since 0.18: the extra `pycaffe` of the package brings both.

Source followed: BVLC Caffe's python/caffe/io.py.
"""

from collections.abc import Iterable, Mapping, Sequence
from importlib import import_module
from pathlib import Path
from types import ModuleType

import numpy as np

from torchcaffe.proto import caffe_pb2

_LUMINANCE = np.array([0.2125, 0.7154, 0.0721]) / 255  # ITU-R BT.709, of red, green and blue from 0 to 255


# Messages


def blobproto_to_array(blob: caffe_pb2.BlobProto, return_diff: bool = False) -> np.ndarray:
    """The values of a BlobProto, or its gradient, float64, in its shape. Raises ValueError if they do not fill it."""
    given = (blob.diff or blob.double_diff) if return_diff else (blob.data or blob.double_data)
    values = np.array(given, np.float64)
    if any(blob.HasField(name) for name in ("num", "channels", "height", "width")):
        return values.reshape(blob.num, blob.channels, blob.height, blob.width)
    return values.reshape(tuple(blob.shape.dim))


def array_to_blobproto(arr: np.ndarray, diff: np.ndarray | None = None) -> caffe_pb2.BlobProto:
    """A BlobProto with the values of `arr`, of any shape, and with the gradient `diff` of the same shape."""
    blob = caffe_pb2.BlobProto()
    blob.shape.dim.extend(arr.shape)
    blob.data.extend(arr.astype(float).ravel())
    if diff is not None:
        blob.diff.extend(diff.astype(float).ravel())
    return blob


def arraylist_to_blobprotovector_str(arraylist: Iterable[np.ndarray]) -> bytes:
    """The bytes of a BlobProtoVector that holds all arrays."""
    return caffe_pb2.BlobProtoVector(blobs=[array_to_blobproto(arr) for arr in arraylist]).SerializeToString()


def blobprotovector_str_to_arraylist(str: bytes) -> list[np.ndarray]:
    """The arrays of a BlobProtoVector, from its bytes."""
    return [blobproto_to_array(blob) for blob in caffe_pb2.BlobProtoVector.FromString(str).blobs]


def array_to_datum(arr: np.ndarray, label: int | None = None) -> caffe_pb2.Datum:
    """A Datum of an image, (channels, height, width). uint8 is kept as bytes, all else as floats. Raises ValueError."""
    if arr.ndim != 3:
        raise ValueError(f"Incorrect array shape {arr.shape}: a Datum holds (channels, height, width)")
    channels, height, width = arr.shape
    datum = caffe_pb2.Datum(channels=channels, height=height, width=width)
    if arr.dtype == np.uint8:
        datum.data = arr.tobytes()
    else:
        datum.float_data.extend(arr.astype(float).ravel())
    if label is not None:
        datum.label = label
    return datum


def datum_to_array(datum: caffe_pb2.Datum) -> np.ndarray:
    """The image of a Datum, (channels, height, width), uint8 or float64. Raises ValueError for a JPEG or PNG file."""
    if datum.encoded:
        raise ValueError("the Datum holds an image file (encoded: true): decode datum.data, with Pillow or OpenCV")
    values = np.frombuffer(datum.data, np.uint8).copy() if datum.data else np.array(datum.float_data, np.float64)
    return values.reshape(datum.channels, datum.height, datum.width)


# Preparation


class Transformer:
    """Prepares images for the inputs of a net. `inputs` maps the names of input blobs to their shapes, (N, C, H, W).

    Each setter is for one input, `in_`. `preprocess` applies what was set in this order: resize, transpose, channel
    swap, raw scale, mean, input scale. `deprocess` undoes it, but for the resize.
    """

    def __init__(self, inputs: Mapping[str, Sequence[int]]):
        self.inputs = inputs
        self.transpose: dict[str, Sequence[int]] = {}
        self.channel_swap: dict[str, Sequence[int]] = {}
        self.raw_scale: dict[str, float | None] = {}
        self.mean: dict[str, np.ndarray] = {}
        self.input_scale: dict[str, float | None] = {}

    def preprocess(self, in_: str, data: np.ndarray) -> np.ndarray:
        """An image (height, width, channels) as float32 (C, H, W), ready for the blob `in_`. `data` stays as it is."""
        size = self._shape(in_)[2:]
        image = data.astype(np.float32)
        if image.shape[:2] != size:
            image = resize_image(image, size)
        if in_ in self.transpose:
            image = image.transpose(self.transpose[in_])
        if in_ in self.channel_swap:
            image = image[list(self.channel_swap[in_])]
        if (factor := self.raw_scale.get(in_)) is not None:
            image *= factor
        if in_ in self.mean:
            image -= self.mean[in_]
        if (factor := self.input_scale.get(in_)) is not None:
            image *= factor
        return image

    def deprocess(self, in_: str, data: np.ndarray) -> np.ndarray:
        """The image of one prepared input, (1, C, H, W) or (C, H, W), as it was before `preprocess`."""
        self._shape(in_)
        image = data.copy().squeeze()
        if (factor := self.input_scale.get(in_)) is not None:
            image /= factor
        if in_ in self.mean:
            image += self.mean[in_]
        if (factor := self.raw_scale.get(in_)) is not None:
            image /= factor
        if in_ in self.channel_swap:
            image = image[np.argsort(self.channel_swap[in_])]
        if in_ in self.transpose:
            image = image.transpose(np.argsort(self.transpose[in_]))
        return image

    def set_transpose(self, in_: str, order: Sequence[int]) -> None:
        """The order of the axes: (2, 0, 1) turns (H, W, C) into (C, H, W)."""
        axes = len(self._shape(in_)) - 1
        if len(order) != axes:
            raise ValueError(f"Transpose order {tuple(order)}: the input '{in_}' has {axes} axes without the first")
        self.transpose[in_] = order

    def set_channel_swap(self, in_: str, order: Sequence[int]) -> None:
        """The order of the channels, after the transpose: (2, 1, 0) turns RGB into BGR."""
        channels = self._shape(in_)[1]
        if len(order) != channels:
            raise ValueError(f"Channel swap {tuple(order)}: the input '{in_}' has {channels} channels")
        self.channel_swap[in_] = order

    def set_raw_scale(self, in_: str, scale: float | None) -> None:
        """A factor before the mean is subtracted: 255 for nets whose images range from 0 to 255."""
        self._shape(in_)
        self.raw_scale[in_] = scale

    def set_mean(self, in_: str, mean: np.ndarray) -> None:
        """What is subtracted: a value a channel, (C,), or an image (C, H, W) or (H, W), resized if need be."""
        shape = self._shape(in_)[1:]
        if mean.ndim == 1:
            if len(mean) != shape[0]:
                raise ValueError(f"Mean channels incompatible with input: {len(mean)} values, '{in_}' has {shape[0]}")
            self.mean[in_] = mean[:, None, None]
            return
        whole = mean.shape if mean.ndim != 2 else (1, *mean.shape)
        if len(whole) != 3:
            raise ValueError(f"Mean shape invalid: {mean.shape}; (C,), (H, W) or (C, H, W) are taken")
        mean = mean.reshape(whole)
        if whole != shape:
            low, high = mean.min(), mean.max()
            unit = ((mean - low) / ((high - low) or 1)).transpose(1, 2, 0)
            mean = resize_image(unit, shape[1:]).transpose(2, 0, 1) * (high - low) + low
        self.mean[in_] = mean

    def set_input_scale(self, in_: str, scale: float | None) -> None:
        """A factor after the mean is subtracted."""
        self._shape(in_)
        self.input_scale[in_] = scale

    def _shape(self, in_: str) -> tuple[int, ...]:
        if in_ not in self.inputs:
            raise ValueError(f"{in_} is not one of the net inputs: {', '.join(self.inputs)}")
        return tuple(self.inputs[in_])


# Images


def load_image(filename: str | Path, color: bool = True) -> np.ndarray:
    """The image in a file, float32 from 0 to 1: (height, width, 3), RGB; without `color` (height, width, 1), gray.

    A gray file fills three channels; transparency is left out. Raises OSError.
    """
    with _needed("PIL.Image", "pillow").open(filename) as file:
        deep = file.mode.startswith("I;16")
        image = file.copy() if deep or file.mode in ("L", "RGB", "RGBA") else file.convert("RGB")
    pixels = np.asarray(image)
    as_gray = pixels.ndim == 3 and not color
    pixels = (pixels[:, :, :3] @ _LUMINANCE if as_gray else pixels / (65535 if deep else 255)).astype(np.float32)
    if pixels.ndim == 2:
        return np.tile(pixels[:, :, None], (1, 1, 3 if color else 1))
    return pixels[:, :, :3]


def resize_image(im: np.ndarray, new_dims: Sequence[int], interp_order: int = 1) -> np.ndarray:
    """An image (height, width, K) as float32 of `new_dims`, (height, width), by splines of `interp_order` (1: linear).

    With 1 or 3 channels, it is smoothed first where it shrinks, and zeros lie outside, as in scikit-image. With other
    numbers of channels it is not.
    """
    ndimage = _needed("scipy.ndimage", "scipy")
    size = tuple(int(length) for length in new_dims)
    if im.shape[-1] not in (1, 3):
        zoom = (*(np.array(size, float) / im.shape[:2]), 1)
        return ndimage.zoom(im, zoom, order=interp_order).astype(np.float32)
    low, high = im.min(), im.max()
    if not high > low:
        return np.full((*size, im.shape[-1]), low, np.float32)
    unit = (im - low) / (high - low)
    shrunk = np.divide(unit.shape, (*size, im.shape[-1]))
    smooth = ndimage.gaussian_filter(unit, np.maximum(0, (shrunk - 1) / 2), mode="constant")
    resized = ndimage.zoom(smooth, 1 / shrunk, order=interp_order, mode="grid-constant", grid_mode=True)
    return (resized.clip(unit.min(), unit.max()) * (high - low) + low).astype(np.float32)


def __getattr__(name: str) -> object:
    """`resize` and `skimage`, which pycaffe's caffe.io has from scikit-image, if that is installed."""
    if name not in ("resize", "skimage"):
        raise AttributeError(f"module 'torchcaffe.io' has no attribute {name!r}")
    try:
        return import_module("skimage.transform").resize if name == "resize" else import_module("skimage")
    except ImportError:
        hint = "`pip install scikit-image`; caffe.io.resize_image and load_image do without it"
        raise AttributeError(f"caffe.io.{name} is of the Python package scikit-image: {hint}") from None


def oversample(images: Sequence[np.ndarray], crop_dims: Sequence[int]) -> np.ndarray:
    """Ten crops of `crop_dims`, (height, width), of each image (height, width, K): (10 * images, height, width, K).

    The order is top left, top right, bottom left, bottom right, centre, and then these five mirrored.
    """
    height, width = (int(length) for length in crop_dims)
    rows, columns = images[0].shape[:2]
    corners = [(row, column) for row in (0, rows - height) for column in (0, columns - width)]
    corners.append((int(rows / 2 - height / 2), int(columns / 2 - width / 2)))
    crops = np.empty((len(images), 2, 5, height, width, images[0].shape[-1]), np.float32)
    for index, image in enumerate(images):
        for place, (row, column) in enumerate(corners):
            crops[index, 0, place] = image[row : row + height, column : column + width]
    crops[:, 1] = crops[:, 0, :, :, ::-1]
    return crops.reshape(-1, *crops.shape[3:])


def _needed(module: str, package: str) -> ModuleType:
    try:
        return import_module(module)
    except ImportError:
        hint = f"`pip install {package}`, or torchcaffe with its extra `pycaffe`"
        raise ImportError(f"caffe.io needs the Python package {package}: {hint}") from None
