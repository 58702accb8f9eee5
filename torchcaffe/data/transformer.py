"""Crop, mirror, mean and scale.

For each image, the transformer draws from its own generator: for the mirror a number modulo 2, for the crop a
number modulo (height - crop_size + 1) and another modulo (width - crop_size + 1). It draws for the mirror in both
phases if `mirror` is set, for the crop in the train phase if `crop_size` is set. In the test phase the crop is the
centre. The mean is subtracted from the cropped pixels, then come mirror and scale, all in float32.

Source followed: BVLC Caffe's data_transformer.cpp.
"""

from collections.abc import Sequence
from itertools import groupby
from math import prod

import numpy as np

from caffeformat import FormatError, blobs
from caffeformat.caffeformat_pb2 import TRAIN, TransformationParameter
from torchcaffe.random.rng import Generator, State

Shape = tuple[int, int, int]
Choices = tuple[np.ndarray, np.ndarray, np.ndarray]  # for each image: mirror (0 or 1), row and column of the crop

_SMALL = 1 << 13  # values of a transformed image up to which all of a batch are cut out at once
_FEW_CHANNELS = 4  # up to which numpy writes an image with the channels last as quickly as with the channels first


class Transformer:
    """Transforms images of `shape` (channels, height, width) as `param` asks in `phase`.

    `mean`, of `shape` or None, and `scale` are float32. `rng` is the transformer's own generator (see `own_generator`),
    None if nothing is random. Raises FormatError if crop or mean do not fit the images.
    """

    def __init__(self, param: TransformationParameter, phase: int, shape: Shape, rng: Generator | None):
        self._input = shape
        self._crop = param.crop_size
        self._random_crop = phase == TRAIN and self._crop > 0
        self._mirror = param.mirror
        self.scale = np.float32(param.scale)
        if self._crop > min(shape[1:]):
            raise FormatError(f"crop_size: {self._crop} is larger than the images, {shape[1]} by {shape[2]}")
        self.mean = _mean(param, shape)
        self._mean_windows = None if self.mean is None else self._windows(self.mean)
        self._rng = rng

    @property
    def shape(self) -> Shape:
        """Channels, height and width of a transformed image."""
        channels, height, width = self._input
        return (channels, self._crop or height, self._crop or width)

    def draw(self, n: int) -> Choices:
        """The random choices for the next `n` images, (n,) each: mirror (0 or 1), row and column of the crop."""
        _, height, width = self._input
        mirror = np.zeros(n, np.int64)
        top = np.full(n, (height - self.shape[1]) // 2)
        left = np.full(n, (width - self.shape[2]) // 2)
        if self._rng:
            draws = self._rng.raw(n * (self._mirror + 2 * self._random_crop)).reshape(n, -1)
            if self._mirror:
                mirror = (draws[:, 0] % 2).astype(np.int64)
            if self._random_crop:
                top = (draws[:, -2] % (height - self._crop + 1)).astype(np.int64)
                left = (draws[:, -1] % (width - self._crop + 1)).astype(np.int64)
        return mirror, top, left

    def __call__(self, images: Sequence[np.ndarray] | np.ndarray, choices: Choices | None = None) -> np.ndarray:
        """Transforms `images` (uint8 or float32, CHW, each of the given shape; or NCHW): float32, NCHW. Few channels
        come last in memory, which is the order of the CPU's nets. `choices` are drawn unless they are given."""
        if isinstance(images, np.ndarray) and not self._rng:
            return self._centres(images)
        choices = choices or self.draw(len(images))
        if isinstance(images, np.ndarray) and prod(self.shape) <= _SMALL:
            out = self._cut(images, *choices)
        else:
            out = self._empty(len(images))
            for image, mirror, top, left, place in zip(images, *(each.tolist() for each in choices), out, strict=True):
                self._fill(place[:, :, ::-1] if mirror else place, image, top, left)
        if self.scale != 1:
            out *= self.scale
        return out

    def _centres(self, images: np.ndarray) -> np.ndarray:
        """`images` (NCHW) where nothing is random: the same crop of each."""
        (_, height, width), (_, tall, wide) = self._input, self.shape
        top, left, out = (height - tall) // 2, (width - wide) // 2, self._empty(len(images))
        if self.mean is None and self.scale != 1:
            return np.multiply(images[:, :, top : top + tall, left : left + wide], self.scale, out=out)
        self._fill(out, images, top, left)
        return out if self.scale == 1 else np.multiply(out, self.scale, out=out)

    def _empty(self, n: int) -> np.ndarray:
        channels, height, width = self.shape
        if channels > _FEW_CHANNELS:
            return np.empty((n, *self.shape), np.float32)
        return np.empty((n, height, width, channels), np.float32).transpose(0, 3, 1, 2)

    def _cut(self, images: np.ndarray, mirror: np.ndarray, top: np.ndarray, left: np.ndarray) -> np.ndarray:
        """The crops of many images (NCHW), minus the mean, and mirrored: float32."""
        cut = self._windows(images)[np.arange(len(images)), top, left]
        if self._mean_windows is None:
            out = cut.astype(np.float32)
        else:
            out = self._mean_windows[top, left]
            np.subtract(cut, out, out=out)
        if len(mirrored := mirror.nonzero()[0]):
            out[mirrored] = out[mirrored][..., ::-1]
        return out

    def _windows(self, images: np.ndarray) -> np.ndarray:
        """All crops of `images` (..., C, H, W) by row and column: (..., rows, columns, C, height, width), a view."""
        images = np.ascontiguousarray(images)
        (*others, channels, height, width), (*between, channel, row, column) = images.shape, images.strides
        _, tall, wide = self.shape
        sizes = *others, height - tall + 1, width - wide + 1, channels, tall, wide
        return np.ndarray(sizes, images.dtype, images, 0, (*between, row, column, channel, row, column))

    def _fill(self, out: np.ndarray, image: np.ndarray, top: int, left: int) -> None:
        """Writes the crop of one image (CHW), or of many (NCHW), minus the mean."""
        _, height, width = self.shape
        window = (slice(None), slice(top, top + height), slice(left, left + width))
        if self.mean is None:
            out[...] = image[..., *window]
        else:
            np.subtract(image[..., *window], self.mean[window], out=out)


class SeveralSizes(FormatError):
    """Images of several sizes where they must have one."""


class Transformers:
    """Transforms images of several sizes, as `Transformer` does those of one; all draw from `rng` in turn."""

    def __init__(self, param: TransformationParameter, phase: int, rng: Generator | None):
        self._param, self._phase, self._rng = param, phase, rng
        self._of: dict[Shape, Transformer] = {}

    def of(self, shape: Shape) -> Transformer:
        """The transformer of images of `shape`. Raises FormatError if crop or mean do not fit."""
        if shape not in self._of:
            self._of[shape] = Transformer(self._param, self._phase, shape, self._rng)
        return self._of[shape]

    def __call__(self, images: list[np.ndarray]) -> np.ndarray:
        """The batch (float32, NCHW) of `images` (CHW). Their sizes may differ if they are cropped to one. Raises
        SeveralSizes if they are not, FormatError if crop or mean do not fit."""
        runs = [self.of(shape)(list(run)) for shape, run in groupby(images, lambda image: image.shape)]
        shapes: set[Shape] = {run.shape[1:] for run in runs}
        if len(shapes) > 1:
            raise SeveralSizes(f"images of {' and '.join(sorted(map(size, shapes)))} in one batch")
        return np.concatenate(runs) if len(runs) > 1 else runs[0]

    def state(self) -> State:
        """The arrays that determine the next random choices; empty if nothing is random."""
        return self._rng.state() if self._rng else {}

    def restore(self, state: State) -> None:
        """Goes back to `state()`."""
        if self._rng:
            self._rng.restore(state)


def is_random(param: TransformationParameter, phase: int) -> bool:
    """Whether the transformer uses random numbers."""
    return param.mirror or (phase == TRAIN and param.crop_size > 0)


def own_generator(param: TransformationParameter, phase: int, rng: Generator) -> Generator | None:
    """A transformer's own generator, or None if nothing is random.

    As in Caffe, it is seeded with the second of two numbers from `rng`, the solver's generator; the first is not used.
    """
    if not is_random(param, phase):
        return None
    rng.rand()
    return Generator(rng.rand())


def _mean(param: TransformationParameter, shape: Shape) -> np.ndarray | None:
    """The mean, float32, of `shape`; None if there is none. Raises FormatError if it does not fit `shape`."""
    values = param.mean_value
    if param.HasField("mean_file"):
        if values:
            raise FormatError("mean_file and mean_value are both given; give one of them")
        mean = blobs.read_mean(param.mean_file)
        if mean.shape != shape:
            raise FormatError(f"{param.mean_file}: a mean of {size(mean.shape)}, but the images are {size(shape)}")
        return mean
    if not values:
        return None
    if len(values) not in (1, shape[0]):
        raise FormatError(f"mean_value is given {len(values)} times; 1 or {shape[0]} are needed, one a channel")
    return np.broadcast_to(np.array(values, np.float32)[:, None, None], shape)


def size(shape: Shape) -> str:
    """`shape` in a message: 3x64x64."""
    return "x".join(map(str, shape))
