"""MemoryData: batches from arrays that a script gives.

Source followed: BVLC Caffe's memory_data_layer.cpp, and Net_SetInputArrays in its _caffe.cpp.
"""

import numpy as np

from caffeformat import FormatError, blobs
from torchcaffe.common import log
from torchcaffe.data.transformer import is_random
from torchcaffe.layer_types.base import Blob, to_device
from torchcaffe.layer_types.base_data import BaseDataLayer


class MemoryData(BaseDataLayer):
    """Data (N, C, H, W) of the sizes in memory_data_param, and labels, (N,) until the first pass, then (N, 1, 1, 1).

    `reset` gives the arrays. A pass takes the next rows of them, over and over.
    """

    n_tops = (2, 2)

    def layer_setup(self, bottom: list[Blob], top: list[Blob]) -> None:
        param, transform = self.param.memory_data_param, self.param.transform_param
        self.batch_size = param.batch_size
        self.size = (param.channels, param.height, param.width)
        positive = "batch_size, channels, height, and width must be specified and positive in memory_data_param"
        self.check(min(self.batch_size, *self.size) > 0, f"{positive}; found {(self.batch_size, *self.size)}")
        if transform.HasField("mean_file"):
            log.info("data_transformer.cpp:25", f"Loading mean file from: {transform.mean_file}")
            try:
                blobs.read_mean(transform.mean_file)
            except FormatError as error:
                raise self.refuse(str(error)) from None
        if is_random(transform, self.phase):
            self.context.rng.rand()  # Caffe's seed for a transformer that nothing uses
        self._data: np.ndarray | None = None
        self._labels: np.ndarray | None = None
        self._position = 0

    def reset(self, data: np.ndarray, labels: np.ndarray) -> None:
        """Begins with the first rows of `data` (n, C, H, W) and `labels` (n, 1, 1, 1), float32 and C-contiguous; n is a
        multiple of the batch size. They are not copied before the pass that reads them, and never written. Raises
        RuntimeError, as pycaffe does, for other arrays."""
        _check_array(data, "data array", self.size)
        _check_array(labels, "labels array", (1, 1, 1))
        if len(data) != len(labels):
            raise RuntimeError("data and labels must have the same first dimension")
        if len(data) % self.batch_size or not len(data):
            raise RuntimeError("first dimensions of input arrays must be a multiple of batch size")
        if self.param.HasField("transform_param"):
            log.warning("memory_data_layer.cpp:90", f"{self.type} does not transform array data on Reset()")
        self._data, self._labels, self._position = data, labels, 0

    def reshape(self, bottom: list[Blob], top: list[Blob]) -> None:
        if self._data is None:
            top[0].reshape(self.batch_size, *self.size)
            top[1].reshape(self.batch_size)

    def forward(self, bottom: list[Blob], top: list[Blob]) -> None:
        if self._data is None or self._labels is None:
            raise self.refuse("has no data: a script gives them with net.set_input_arrays(data, labels)")
        rows = slice(self._position, self._position + self.batch_size)
        self._position = rows.stop % len(self._data)
        before = top[1].shape
        # Copies: what a script holds of a blob is written by later passes, and must not be the script's own rows.
        top[0].value = to_device(self._data[rows].copy(), self.context)
        top[1].value = to_device(self._labels[rows].copy(), self.context)
        self.resized = top[1].shape != before


def _check_array(array: np.ndarray, name: str, size: tuple[int, int, int]) -> None:
    """Raises RuntimeError unless `array` is (n, *size), float32 and C-contiguous."""
    if not array.flags.c_contiguous:
        raise RuntimeError(f"{name} must be C contiguous")
    if array.ndim != 4:
        raise RuntimeError(f"{name} must be 4-d")
    if array.dtype != np.float32:
        raise RuntimeError(f"{name} must be float32")
    for found, right, what in zip(array.shape[1:], size, ("number of channels", "height", "width"), strict=True):
        if found != right:
            raise RuntimeError(f"{name} has wrong {what}")
