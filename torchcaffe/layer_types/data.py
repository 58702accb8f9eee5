"""Data: batches of images from an LMDB.

Source followed: BVLC Caffe's data_layer.cpp.
"""

from torchcaffe.common import log
from torchcaffe.data import resident
from torchcaffe.data.data_source import LmdbSource
from torchcaffe.data.resident import ResidentImages
from torchcaffe.layer_types.base import Blob
from torchcaffe.layer_types.base_data import BasePrefetchingDataLayer


class Data(BasePrefetchingDataLayer):
    """Images (N, C, H, W) and, if there is a second top, labels (N,).

    Either a thread reads ahead, or the device holds all images (torchcaffe/data/resident.py). Then the host only draws
    the random numbers for crops and mirrors.
    """

    n_tops = (1, 2)
    size_place, source_place = "data_layer.cpp:45", "db_lmdb.cpp:15"
    source: LmdbSource

    def open_source(self) -> LmdbSource:
        source = LmdbSource(self.param, self.phase, self.context.rng)
        log.info("db_lmdb.cpp:35", f"Opened lmdb {self.param.data_param.source}")
        return source

    def layer_setup(self, bottom: list[Blob], top: list[Blob]) -> None:
        super().layer_setup(bottom, top)
        self._resident = ResidentImages(self.source, self.context) if self._is_held() else None

    def _is_held(self) -> bool:
        """Whether the device will hold the data set. Logs that it does, or why a GPU does not."""
        gpu = self.context.on_gpu
        if self.context.data == "streamed" or (self.context.data == "auto" and not gpu):
            return False
        needed = resident.bytes_of(self.source)
        images = f"{self.param.data_param.source}: {len(self.source)} images of {needed / 1e6:.4g} MB"
        if self.context.data == "auto" and needed > (room := resident.room(self.context.device)):
            share = f"{resident.SHARE:.0%} of the memory that is free, {room / 1e6:.4g} MB"
            log.info("data_layer.cpp:45", f"{images} are more than {share}: they are read batch by batch")
            return False
        log.info("data_layer.cpp:45", f"{images} are held on the {'GPU' if gpu else 'CPU'}")
        return True

    @property
    def from_host(self) -> bool:
        return self._resident is None

    def fetch(self, top: list[Blob]) -> None:
        if self._resident is None:
            super().fetch(top)
            return
        self._resident.choose(self.source.next_choices(self.source.batch_size))
        restarts, self._state = self.source.restarts(), self.source.state()
        self.log_restarts(restarts)

    def compute(self, bottom: list[Blob], top: list[Blob]) -> None:
        if self._resident is not None:
            self.set_tops(top, *self._resident.batch())
