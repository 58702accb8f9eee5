"""Data: batches of images from an LMDB or a LevelDB.

Source followed: BVLC Caffe's data_layer.cpp.
"""

from collections import deque

from caffeformat.caffeformat_pb2 import DataParameter
from torchcaffe.common import log
from torchcaffe.data import resident
from torchcaffe.data.data_source import DatumSource
from torchcaffe.data.resident import ResidentImages
from torchcaffe.data.transformer import SeveralSizes
from torchcaffe.layer_types.base import Blob
from torchcaffe.layer_types.base_data import BasePrefetchingDataLayer, Batch
from torchcaffe.random.rng import State


class Data(BasePrefetchingDataLayer):
    """Images (N, C, H, W) and, if there is a second top, labels (N,).

    A thread reads ahead, or the device holds all images (torchcaffe/data/resident.py): then the host only draws the
    random numbers for crops and mirrors. Small batches for a CPU are read without a thread, several at once. It and the
    net would take Python's lock from each other some hundred times, which costs the net as long as the reading.
    """

    n_tops = (1, 2)
    size_place, source_place = "data_layer.cpp:45", "db_lmdb.cpp:15"
    source: DatumSource

    def open_source(self) -> DatumSource:
        is_lmdb = self.param.data_param.backend == DataParameter.LMDB
        place, name = ("db_lmdb.cpp:35", "lmdb") if is_lmdb else ("db_leveldb.cpp:18", "leveldb")
        source = DatumSource(self.param, self.phase, self.context.rng)
        log.info(place, f"Opened {name} {self.param.data_param.source}")
        return source

    def layer_setup(self, bottom: list[Blob], top: list[Blob]) -> None:
        super().layer_setup(bottom, top)
        self._is_quick = self.source.is_quick and not self.context.on_gpu
        self._waiting: deque[Batch] = deque()  # batches that were read together
        self._resident = self._held() if self._is_to_be_held() else None

    def _held(self) -> ResidentImages | None:
        """The data set on the device; None if its images are of several sizes."""
        try:
            held = ResidentImages(self.source, self.context)
        except SeveralSizes as error:
            self.check(self.context.data == "auto", f"{error}; --data=resident needs images of one kind")
            log.info(self.size_place, f"{error}: they are read batch by batch")
            return None
        log.info(self.size_place, f"{self._images()} are held on the {'GPU' if self.context.on_gpu else 'CPU'}")
        return held

    def _images(self) -> str:
        megabytes = resident.bytes_of(self.source) / 1e6
        return f"{self.param.data_param.source}: {len(self.source)} images of {megabytes:.4g} MB"

    def _is_to_be_held(self) -> bool:
        """Whether the device is to hold the data set. Logs why a GPU is not."""
        gpu = self.context.on_gpu
        if self.context.data == "streamed" or (self.context.data == "auto" and not gpu):
            return False
        needed = resident.bytes_of(self.source)
        if self.context.data == "auto" and needed > (room := resident.room(self.context.device)):
            share = f"{resident.SHARE:.0%} of the memory that is free, {room / 1e6:.4g} MB"
            log.info("data_layer.cpp:45", f"{self._images()} are more than {share}: they are read batch by batch")
            return False
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

    def take_batch(self) -> Batch:
        if not self._is_quick:
            return super().take_batch()
        if not self._waiting:
            batches = self.source.next_batches(self.source.batch_size)
            for images, labels, restarts, state in batches:
                self._waiting.append((*self.arranged(images, labels), restarts, state))
        return self._waiting.popleft()

    def restore(self, state: State) -> None:
        self._waiting.clear()
        super().restore(state)

    def compute(self, bottom: list[Blob], top: list[Blob]) -> None:
        if self._resident is not None:
            self.set_tops(top, *self._resident.batch())
