"""WindowData: batches of windows in images, as R-CNN trains on them.

Source followed: BVLC Caffe's window_data_layer.cpp.
"""

from torchcaffe.common import log
from torchcaffe.common.log import number
from torchcaffe.data.window_source import WindowSource
from torchcaffe.layer_types.base import Blob
from torchcaffe.layer_types.base_data import BasePrefetchingDataLayer


class WindowData(BasePrefetchingDataLayer):
    """Windows (N, 3, crop_size, crop_size) and their classes (N,), 0 for those of no object."""

    n_tops = (2, 2)
    size_place, source_place = "window_data_layer.cpp:183", "window_data_layer.cpp:82"
    source: WindowSource

    def open_source(self) -> WindowSource:
        return WindowSource(self.param, self.phase, self.context.rng)

    def layer_setup(self, bottom: list[Blob], top: list[Blob]) -> None:
        super().layer_setup(bottom, top)
        if self.param.transform_param.HasField("mean_file"):
            mean_file = self.param.transform_param.mean_file
            log.info("window_data_layer.cpp:199", f"Loading mean file from: {mean_file}")
        if self.param.transform_param.scale != 1:
            ignored = "transform_param's scale has no effect in a WindowData layer, as in BVLC Caffe: it is that of"
            log.warning("window_data_layer.cpp:249", f"{self.name}: {ignored} window_data_param")

    def log_opening(self) -> None:
        super().log_opening()
        param, file = self.param.window_data_param, self.source.file
        lines = (
            "Window data layer:",
            f"  foreground (object) overlap threshold: {number(param.fg_threshold)}",
            f"  background (non-object) overlap threshold: {number(param.bg_threshold)}",
            f"  foreground sampling fraction: {number(param.fg_fraction)}",
            f"  cache_images: {int(param.cache_images)}",
            f"  root_folder: {param.root_folder}",
        )
        log.info("window_data_layer.cpp:56", "\n".join(lines))
        for image in file.images:
            if image.number % 100 == 0:
                channels, height, width = image.shape
                size = f"{image.path} {channels} {height} {width} windows to process: {image.windows}"
                log.info("window_data_layer.cpp:151", f"num: {image.number} {size}")
        log.info("window_data_layer.cpp:160", f"Number of images: {file.images[-1].number + 1}")
        for label, count in file.counts().items():
            log.info("window_data_layer.cpp:164", f"class {label} has {count} samples")
        log.info("window_data_layer.cpp:168", f"Amount of context padding: {param.context_pad}")
        log.info("window_data_layer.cpp:171", f"Crop mode: {param.crop_mode}")
