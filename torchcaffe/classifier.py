"""pycaffe's Classifier: a net that takes images of any size and gives probabilities.

Source followed: BVLC Caffe's python/caffe/classifier.py.
"""

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from caffeformat.caffeformat_pb2 import TEST
from torchcaffe import io
from torchcaffe.pycaffe import Net


class Classifier(Net):
    """The net of a deploy prototxt with its weights.

    Images are first resized to `image_dims`, (height, width), the net's own input size if not given. `mean`,
    `input_scale`, `raw_scale` and `channel_swap` are those of io.Transformer. Raises FormatError.
    """

    def __init__(
        self,
        model_file: str | Path,
        pretrained_file: str | Path | None,
        image_dims: Sequence[int] | None = None,
        mean: np.ndarray | None = None,
        input_scale: float | None = None,
        raw_scale: float | None = None,
        channel_swap: Sequence[int] | None = None,
    ):
        super().__init__(model_file, TEST, weights=pretrained_file)
        self.transformer = transformer_of(self, mean, input_scale, raw_scale, channel_swap)
        self.crop_dims = np.array(self.blobs[self.inputs[0]].shape[2:])
        self.image_dims = self.crop_dims if image_dims is None or not len(image_dims) else image_dims

    def predict(self, inputs: Sequence[np.ndarray], oversample: bool = True) -> np.ndarray:
        """The net's first output for each of N images, (height, width, channels): (N, classes).

        With `oversample`, the mean over ten crops of each image (io.oversample); without, of its centre.
        """
        rows, columns = self.image_dims
        images = np.stack([io.resize_image(image, (rows, columns)) for image in inputs])
        if oversample:
            images = io.oversample(list(images), list(self.crop_dims))
        else:
            height, width = self.crop_dims
            top, left = int(rows / 2 - height / 2), int(columns / 2 - width / 2)
            images = images[:, top : top + height, left : left + width]
        prepared = np.stack([self.transformer.preprocess(self.inputs[0], image) for image in images])
        predictions = self.forward_all(None, **{self.inputs[0]: prepared})[self.outputs[0]]
        return predictions.reshape(len(predictions) // 10, 10, -1).mean(1) if oversample else predictions


def transformer_of(
    net: Net,
    mean: np.ndarray | None,
    input_scale: float | None,
    raw_scale: float | None,
    channel_swap: Sequence[int] | None,
) -> io.Transformer:
    """The Transformer for the first input of `net`; settings that are None are not set."""
    name = net.inputs[0]
    transformer = io.Transformer({name: net.blobs[name].shape})
    transformer.set_transpose(name, (2, 0, 1))
    if mean is not None:
        transformer.set_mean(name, mean)
    if input_scale is not None:
        transformer.set_input_scale(name, input_scale)
    if raw_scale is not None:
        transformer.set_raw_scale(name, raw_scale)
    if channel_swap is not None:
        transformer.set_channel_swap(name, channel_swap)
    return transformer
