"""HDF5Output: writes two blobs into an HDF5 file.

Source followed: BVLC Caffe's hdf5_output_layer.cpp.
"""

import numpy as np

from torchcaffe.common import log
from torchcaffe.common.hdf5_file import new_file
from torchcaffe.layer_types.base import Blob, Fatal, Layer


class HDF5Output(Layer):
    """Writes its bottoms as the data sets `data` and `label`, float32 with four axes each.

    The file takes one forward pass. At the second one, BVLC Caffe stops, because it cannot add to its file; so does
    this layer. The file with the first batch stays.
    """

    n_bottoms = (2, 2)
    n_tops = (0, 0)
    recordable = False

    def layer_setup(self, bottom: list[Blob], top: list[Blob]) -> None:
        self.check(self.param.hdf5_output_param.file_name, "file_name is not given")
        self._written = False

    def reshape(self, bottom: list[Blob], top: list[Blob]) -> None:
        for blob in bottom:
            axes = len(blob.shape)
            self.check(1 <= axes <= 4, f"a bottom of {axes} axes, '{blob.name}'; 1 to 4 can be written")
        same = bottom[0].shape[0] == bottom[1].shape[0]
        self.check(
            same, f"data blob and label blob must have the same batch size: {bottom[0].shape}, {bottom[1].shape}"
        )

    def forward(self, bottom: list[Blob], top: list[Blob]) -> None:
        path = self.param.hdf5_output_param.file_name
        if self._written:
            one = f"{self.where}: layer '{self.name}': {path} holds a batch already, and Caffe's file takes one only"
            raise Fatal(f"{one}; run one iteration, with a batch_size of all that is wanted", "hdf5.cpp:124")
        log.info("hdf5_output_layer.cpp:33", f"Saving HDF5 file {path}")
        with new_file(path) as file:
            for name, blob in zip(("data", "label"), bottom, strict=True):
                values = blob.values().astype(np.float32, copy=False)
                file[name] = values.reshape(*blob.shape, *[1] * (4 - len(blob.shape)))
        log.info("hdf5_output_layer.cpp:38", f"Successfully saved {bottom[0].shape[0]} rows")
        self._written = True

    def backward(self, top: list[Blob], propagate_down: list[bool], bottom: list[Blob]) -> None:
        """The bottoms get no gradient, as in Caffe."""
