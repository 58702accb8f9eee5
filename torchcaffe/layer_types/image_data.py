"""ImageData: batches of images from the files that a list names.

Source followed: BVLC Caffe's image_data_layer.cpp.
"""

from torchcaffe.common import log
from torchcaffe.data.image_source import ImageSource
from torchcaffe.layer_types.base import Blob
from torchcaffe.layer_types.base_data import BasePrefetchingDataLayer


class ImageData(BasePrefetchingDataLayer):
    """Images (N, C, H, W) and labels (N,)."""

    n_tops = (2, 2)
    size_place, source_place = "image_data_layer.cpp:90", "image_data_layer.cpp:77"
    source: ImageSource

    def open_source(self) -> ImageSource:
        return ImageSource(self.param, self.phase, self.context.rng)

    def layer_setup(self, bottom: list[Blob], top: list[Blob]) -> None:
        super().layer_setup(bottom, top)
        if self.context.data == "resident" or (self.context.data == "auto" and self.context.on_gpu):
            log.info(self.size_place, f"{self.param.image_data_param.source}: files of images are read batch by batch")

    def log_opening(self) -> None:
        super().log_opening()
        log.info("image_data_layer.cpp:38", f"Opening file {self.param.image_data_param.source}")
        if self.param.image_data_param.shuffle:
            log.info("image_data_layer.cpp:53", "Shuffling data")
        log.info("image_data_layer.cpp:63", f"A total of {len(self.source)} images.")
        if self.source.skipped is not None:
            log.info("image_data_layer.cpp:70", f"Skipping first {self.source.skipped} data points.")
