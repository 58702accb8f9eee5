"""pycaffe's Detector: a net that classifies windows of images, as R-CNN does.

Source followed: BVLC Caffe's python/caffe/detector.py. Its crops with context fail in numpy since 1.12, which takes no
floats as indices; here they are rounded.
"""

from collections.abc import Iterable, Sequence
from pathlib import Path

import numpy as np

from caffeformat.caffeformat_pb2 import TEST
from torchcaffe import io
from torchcaffe.classifier import transformer_of
from torchcaffe.pycaffe import Net

Detection = dict[str, object]


class Detector(Net):
    """The net of a deploy prototxt with its weights.

    `mean`, `input_scale`, `raw_scale` and `channel_swap` are those of io.Transformer. With `context_pad`, a border of
    so many pixels of the net's input shows what lies around the window. Raises FormatError.
    """

    def __init__(
        self,
        model_file: str | Path,
        pretrained_file: str | Path | None,
        mean: np.ndarray | None = None,
        input_scale: float | None = None,
        raw_scale: float | None = None,
        channel_swap: Sequence[int] | None = None,
        context_pad: int | None = None,
    ):
        super().__init__(model_file, TEST, weights=pretrained_file)
        self.transformer = transformer_of(self, mean, input_scale, raw_scale, channel_swap)
        self.configure_crop(context_pad)

    def detect_windows(self, images_windows: Iterable[tuple[str, Sequence[Sequence[int]]]]) -> list[Detection]:
        """Classifies windows (ymin, xmin, ymax, xmax) of image files.

        Returns a dict for each window: `window`, `prediction` (the net's first output), `filename`.
        """
        pairs = [(name, window) for name, windows in images_windows for window in windows]
        images = {name: io.load_image(name) for name in dict(pairs)}
        inputs = [self.transformer.preprocess(self.inputs[0], self.crop(images[name], w)) for name, w in pairs]
        predictions = self.forward_all(None, **{self.inputs[0]: np.stack(inputs)})[self.outputs[0]]
        return [
            {"window": window, "prediction": prediction, "filename": name}
            for (name, window), prediction in zip(pairs, predictions, strict=True)
        ]

    def detect_selective_search(self, image_fnames: Iterable[str]) -> list[Detection]:
        """As `detect_windows`, for the windows that the package selective_search_ijcv_with_python proposes."""
        try:
            import selective_search_ijcv_with_python as selective_search
        except ImportError:
            needed = "detect_selective_search needs the Python package selective_search_ijcv_with_python"
            raise ImportError(f"{needed}; with windows of your own, call detect_windows") from None
        names = [str(Path(name).absolute()) for name in image_fnames]
        windows = selective_search.get_windows(names, cmd="selective_search_rcnn")
        return self.detect_windows(zip(names, windows, strict=True))

    def crop(self, im: np.ndarray, window: Sequence[int]) -> np.ndarray:
        """The window (ymin, xmin, ymax, xmax) of an image (height, width, K).

        With context, it is warped to the net's input size, and what lies outside of the image is the mean.
        """
        top, left, bottom, right = (int(edge) for edge in window)
        if not self.context_pad:
            return im[top:bottom, left:right]
        side = self.blobs[self.inputs[0]].width  # the input is square
        scale = side / (side - 2.0 * self.context_pad)
        half = np.array([(bottom - top + 1) / 2, (right - left + 1) / 2])
        centre = np.array([top, left]) + half
        first, last = np.round(centre - scale * half), np.round(centre + scale * half)
        per_pixel = side / (last - first + 1)
        outside = _rounded(np.maximum(0, -first) * per_pixel)
        limits = np.array(im.shape[:2])
        first, last = np.clip(first, 0, limits), np.clip(last, 0, limits)
        size = np.minimum(_rounded((last - first + 1) * per_pixel), side - outside)
        inner = im[int(first[0]) : int(last[0]), int(first[1]) : int(last[1])]
        crop = np.ones(self.crop_dims, np.float32) * self.crop_mean
        (row, column), (height, width) = outside, size
        crop[row : row + height, column : column + width] = io.resize_image(inner, (height, width))
        return crop

    def configure_crop(self, context_pad: int | None) -> None:
        """Sets the border, and the mean around crops: in the values and the order of axes of images."""
        name = self.inputs[0]
        channels, height, width = self.blobs[name].shape[1:]
        self.crop_dims = np.array([height, width, channels])
        self.context_pad = context_pad
        mean = self.transformer.mean.get(name)
        if mean is None:
            self.crop_mean = np.zeros(self.crop_dims, np.float32)
            return
        crop_mean = mean.transpose(1, 2, 0).astype(np.float32)
        if name in self.transformer.channel_swap:
            crop_mean = crop_mean[:, :, np.argsort(self.transformer.channel_swap[name])]
        scale = self.transformer.raw_scale.get(name)
        self.crop_mean = crop_mean if scale is None else crop_mean / scale


def _rounded(values: np.ndarray) -> np.ndarray:
    return np.round(values).astype(int)
