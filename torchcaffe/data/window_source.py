"""The batches of a WindowData layer: windows of images, drawn at random, cut out and warped to one size.

Source followed: BVLC Caffe's window_data_layer.cpp, with its float32 numbers.
"""

import math
from pathlib import Path

import numpy as np

from caffeformat import FormatError, blobs
from caffeformat.caffeformat_pb2 import LayerParameter
from torchcaffe.data import images
from torchcaffe.data.transformer import is_random
from torchcaffe.data.window_file import Window, WindowFile
from torchcaffe.random.rng import Generator, State

Place = tuple[tuple[int, int, int, int], tuple[int, int], tuple[int, int, int]]


class WindowSource:
    """Batches of a fixed share of windows of objects (fg_fraction) behind windows of none.

    Draws from `rng`, the solver's generator, as often as Caffe's layer does: for a transformer (if it is random), for
    the windows, again for the transformer, and for the prefetch thread. Raises FormatError, with the layer's name.
    """

    def __init__(self, layer: LayerParameter, phase: int, rng: Generator):
        self._name, self._param, self._transform = layer.name, layer.window_data_param, layer.transform_param
        self.batch_size = self._param.batch_size
        self._crop = self._transform.crop_size
        self._check()
        self._cv2 = images.opencv()
        try:
            self.file = WindowFile(self._param)
            self._mean = self._read_mean()
        except FormatError as error:
            raise self._error(str(error)) from None
        self._cached = [self._bytes(image.path) for image in self.file.images] if self._param.cache_images else None
        objects = int(np.float32(self.batch_size) * np.float32(self._param.fg_fraction))
        self._kinds = [(self.file.background, self.batch_size - objects), (self.file.foreground, objects)]
        transform_is_random = is_random(self._transform, phase)
        if transform_is_random:
            rng.rand()
        self._rng = Generator(rng.rand())
        if transform_is_random:
            rng.rand()
        rng.rand()

    def __len__(self) -> int:
        """The number of windows."""
        return len(self.file.foreground) + len(self.file.background)

    @property
    def shape(self) -> tuple[int, int, int]:
        """Channels, height and width of a warped window."""
        return (3, self._crop, self._crop)

    def next_batch(self, n: int) -> tuple[np.ndarray, np.ndarray]:
        """Windows (float32, NCHW) and their classes (float32, n); `n` is the batch size. Raises FormatError."""
        batch, labels = np.zeros((n, *self.shape), np.float32), np.empty(n, np.float32)
        kinds = [windows for windows, count in self._kinds for _ in range(count)]
        for index, windows in enumerate(kinds):
            window = windows[self._rng.rand() % len(windows)]
            mirror = self._transform.mirror and self._rng.rand() % 2 == 1
            self._fill(batch[index], window, mirror)
            labels[index] = window.label
        return batch, labels

    def restarts(self) -> int:
        """0: there is no end of the data."""
        return 0

    def state(self) -> State:
        """The arrays that determine the next windows."""
        return self._rng.state()

    def restore(self, state: State) -> None:
        """Goes back to `state()`."""
        self._rng.restore(state)

    def _fill(self, target: np.ndarray, window: Window, mirror: bool) -> None:
        """Writes a window into `target` (float32, CHW), whose margins stay 0."""
        image = self._read(window)
        height, width = image.shape[:2]
        (x1, y1, x2, y2), (wide, high), (left, right, top) = self._place(window, height, width)
        if mirror:
            left = right
        wide, high = min(wide, self._crop - left), min(high, self._crop - top)
        if not (0 <= x1 <= x2 < width and 0 <= y1 <= y2 < height and wide > 0 and high > 0):
            corners = " ".join(map(str, window.corners))
            image_size = f"{self.file.images[window.image].path} of {width} by {height}"
            raise self._error(
                f"{self._param.source}:{window.line}: the window {corners} is not in the image {image_size}"
            )
        warped = self._cv2.resize(image[y1 : y2 + 1, x1 : x2 + 1], (wide, high), interpolation=self._cv2.INTER_LINEAR)
        if mirror:
            warped = warped[:, ::-1]
        place = (slice(None), slice(top, top + high), slice(left, left + wide))
        pixels = warped.transpose(2, 0, 1).astype(np.float32)
        if self._mean is not None:
            pixels -= self._mean[place]
        target[place] = pixels * np.float32(self._param.scale)

    def _place(self, window: Window, height: int, width: int) -> Place:
        """The part of an image to cut out (corners, both included), the width and height to which it is warped, and the
        margins of the crop: left, the left one of a mirrored window, and top."""
        x1, y1, x2, y2 = window.corners
        crop, square = self._crop, self._param.crop_mode == "square"
        if not self._param.context_pad and not square:
            return window.corners, (crop, crop), (0, 0, 0)
        scale = np.float32(crop) / np.float32(crop - 2 * self._param.context_pad)
        half_height, half_width = np.float32((y2 - y1 + 1) / 2), np.float32((x2 - x1 + 1) / 2)
        center_x, center_y = np.float32(x1) + half_width, np.float32(y1) + half_height
        if square:
            half_height = half_width = max(half_height, half_width)
        x1, x2 = _rounded(center_x - half_width * scale), _rounded(center_x + half_width * scale)
        y1, y2 = _rounded(center_y - half_height * scale), _rounded(center_y + half_height * scale)
        scale_x, scale_y = np.float32(crop) / np.float32(x2 - x1 + 1), np.float32(crop) / np.float32(y2 - y1 + 1)
        over = (max(0, -x1), max(0, -y1), max(0, x2 - width + 1), max(0, y2 - height + 1))
        x1, y1, x2, y2 = x1 + over[0], y1 + over[1], x2 - over[2], y2 - over[3]
        wide, high = (_rounded(np.float32(n) * s) for n, s in ((x2 - x1 + 1, scale_x), (y2 - y1 + 1, scale_y)))
        left, right = (_rounded(np.float32(n) * scale_x) for n in (over[0], over[2]))
        top = _rounded(np.float32(over[1]) * scale_y)
        return (x1, y1, x2, y2), (wide, high), (left, right, top)

    def _read(self, window: Window) -> np.ndarray:
        """The image of a window, uint8, HWC, BGR."""
        path = self.file.images[window.image].path
        if self._cached is not None:
            image = self._cv2.imdecode(np.frombuffer(self._cached[window.image], np.uint8), self._cv2.IMREAD_COLOR)
        else:
            image = self._cv2.imread(path, self._cv2.IMREAD_COLOR)
        if image is None:
            raise self._error(f"Could not open or find file {path} ({self._param.source}:{window.line})")
        return image

    def _bytes(self, path: str) -> bytes:
        try:
            data = Path(path).read_bytes()
        except OSError as error:
            raise self._error(f"{self._param.source}: Could not open or find file {path}: {error.strerror}") from None
        if not data:
            raise self._error(f"{self._param.source}: {path} is empty")
        return data

    def _read_mean(self) -> np.ndarray | None:
        """The mean of the crop, float32, CHW; None if there is none. Raises FormatError."""
        values, crop = self._transform.mean_value, self._crop
        if not self._transform.HasField("mean_file"):
            if len(values) not in (0, 1, 3):
                raise FormatError(f"mean_value is given {len(values)} times; 1 or 3 are needed, one a channel")
            return np.broadcast_to(np.array(values, np.float32)[:, None, None], self.shape) if values else None
        if values:
            raise FormatError("mean_file and mean_value are both given; give one of them")
        mean = blobs.read_mean(self._transform.mean_file)
        start = (mean.shape[2] - crop) // 2
        cut = mean[:, start : start + crop, start : start + crop] if start >= 0 else mean[:, :0]
        if cut.shape != self.shape:
            sizes = "x".join(map(str, mean.shape))
            raise FormatError(f"{self._transform.mean_file}: a mean of {sizes} has no middle of 3x{crop}x{crop}")
        return cut

    def _check(self) -> None:
        param, crop = self._param, self._crop
        for name in ("crop_size", "mirror", "mean_file"):
            same = not param.HasField(name) or getattr(param, name) == getattr(self._transform, name)
            self._require(same, f"{name} belongs into transform_param; Caffe ignores it in window_data_param")
        self._require(crop > 0, "transform_param needs crop_size: 1 or more")
        self._require(param.batch_size > 0, "window_data_param needs batch_size: 1 or more; found 0")
        self._require(0 <= param.fg_fraction <= 1, f"fg_fraction is 0 to 1; found {param.fg_fraction:g}")
        self._require(
            param.crop_mode in ("warp", "square"), f'crop_mode: "{param.crop_mode}"; it is "warp" or "square"'
        )
        pad = f"context_pad: {param.context_pad} leaves nothing of crop_size: {crop}"
        self._require(2 * param.context_pad < crop, pad)

    def _require(self, condition: object, text: str) -> None:
        if not condition:
            raise self._error(text)

    def _error(self, text: str) -> FormatError:
        return FormatError(f"layer {self._name}: {text}")


def _rounded(number: np.floating) -> int:
    """C's round: halves away from zero."""
    return int(math.copysign(math.floor(abs(float(number)) + 0.5), number))
