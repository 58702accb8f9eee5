"""Layers that bring data into the net: Data (an LMDB), ImageData (a list of files), Input (set from outside), DummyData
(a filler's values)."""

from concurrent.futures import Future, ThreadPoolExecutor

import numpy as np
import torch

from caffeformat import FormatError
from caffeformat.caffeformat_pb2 import FillerParameter, LayerParameter
from torchcaffe.common import log
from torchcaffe.common.context import Context
from torchcaffe.data import resident
from torchcaffe.data.data_source import LmdbSource
from torchcaffe.data.image_source import ImageSource
from torchcaffe.data.resident import ResidentImages
from torchcaffe.layer_types.base import Blob, Fatal, Layer, to_device
from torchcaffe.random.rng import State

_Batch = tuple[np.ndarray, np.ndarray, int, State]  # images, labels, restarts due, the source's state behind it


class _Source(Layer):
    """A layer without bottoms: there is nothing to hand a gradient to. All of a pass is the host's, unless a type says
    otherwise."""

    n_bottoms = (0, 0)
    n_tops = (1, None)

    @property
    def from_host(self) -> bool:
        return True

    def fetch(self, top: list[Blob]) -> None:
        self.forward([], top)

    def compute(self, bottom: list[Blob], top: list[Blob]) -> None:
        pass

    def backward(self, top: list[Blob], propagate_down: list[bool], bottom: list[Blob]) -> None:
        pass


class Data(_Source):
    """Images of an LMDB, batch by batch, and their labels if there is a second top.

    A thread makes the next batch while the net works on this one; it takes nothing from the solver's generator. Or all
    images are held on the device (resident.py), and the host only draws what they are cropped and mirrored by.
    """

    n_tops = (1, 2)
    _sized, _failed = "data_layer.cpp:45", "db_lmdb.cpp:15"  # where Caffe's source says so

    def __init__(self, param: LayerParameter, context: Context, where: str):
        super().__init__(param, context, where)
        try:
            self.source = self._open()
        except FormatError as error:
            raise Fatal(f"{where}: {error}", self._failed) from None

    def _open(self) -> LmdbSource | ImageSource:
        source = LmdbSource(self.param, self.phase, self.context.rng)
        log.info("db_lmdb.cpp:35", f"Opened lmdb {self.param.data_param.source}")
        return source

    def layer_setup(self, bottom: list[Blob], top: list[Blob]) -> None:
        self._log_opening()
        shape = ",".join(map(str, (self.source.batch_size, *self.source.shape)))
        log.info(self._sized, f"output data size: {shape}")
        self._worker = ThreadPoolExecutor(1, thread_name_prefix=f"data layer {self.name}")
        self._next: Future[_Batch] | None = None
        self._state = self.source.state()
        self._resident = ResidentImages(self.source, self.context) if self._held() else None

    def _held(self) -> bool:
        """Whether the data set is to be held on the device."""
        gpu = self.context.on_gpu
        if self.context.data == "streamed" or (self.context.data == "auto" and not gpu):
            return False
        needed = resident.bytes_of(self.source)
        what = f"{self.param.data_param.source}: {len(self.source)} images of {needed / 1e6:.4g} MB"
        if self.context.data == "auto" and needed > (room := resident.room(self.context.device)):
            part = f"{resident.SHARE:.0%} of the memory that is free, {room / 1e6:.4g} MB"
            log.info("data_layer.cpp:45", f"{what} are more than {part}: they are read batch by batch")
            return False
        log.info("data_layer.cpp:45", f"{what} are held on the {'GPU' if gpu else 'CPU'}")
        return True

    @property
    def from_host(self) -> bool:
        return self._resident is None

    def _log_opening(self) -> None:
        if self.param.transform_param.HasField("mean_file"):
            log.info("data_transformer.cpp:25", f"Loading mean file from: {self.param.transform_param.mean_file}")

    def reshape(self, bottom: list[Blob], top: list[Blob]) -> None:
        top[0].reshape(self.source.batch_size, *self.source.shape)
        if len(top) > 1:
            top[1].reshape(self.source.batch_size)

    def forward(self, bottom: list[Blob], top: list[Blob]) -> None:
        self.fetch(top)
        self.compute(bottom, top)

    def fetch(self, top: list[Blob]) -> None:
        if self._resident:
            self._resident.choose(self.source.next_choices(self.source.batch_size))
            restarts, self._state = self.source.restarts(), self.source.state()
        else:
            batch = self._next or self._worker.submit(self._load)
            images, labels, restarts, self._state = batch.result()
            self._next = self._worker.submit(self._load)
            self._set(top, to_device(images, self.context), to_device(labels, self.context))
        for _ in range(restarts):
            log.info("data_layer.cpp:73", "Restarting data prefetching from start.")

    def compute(self, bottom: list[Blob], top: list[Blob]) -> None:
        if self._resident:
            self._set(top, *self._resident.batch())

    def _set(self, top: list[Blob], *tensors: torch.Tensor) -> None:
        for blob, tensor in zip(top, tensors, strict=False):  # the labels may not be asked for
            blob.value = tensor

    def _load(self) -> _Batch:
        images, labels = self.source.next_batch(self.source.batch_size)
        return images, labels, self.source.restarts(), self.source.state()

    def state(self) -> State:
        """What decides the batches still to be used: the one that waits is not counted as read."""
        return self._state

    def restore(self, state: State) -> None:
        if self._next is not None:
            self._next.result()
            self._next = None
        self.source.restore(state)
        self._state = state


class ImageData(Data):
    """Images of the files that a list names, and their labels. Where it neither crops nor resizes them, each batch has
    the size of its images, which the layers behind then take on."""

    n_tops = (2, 2)
    _sized, _failed = "image_data_layer.cpp:90", "image_data_layer.cpp:77"

    def _open(self) -> ImageSource:
        return ImageSource(self.param, self.phase, self.context.rng)

    def reshape(self, bottom: list[Blob], top: list[Blob]) -> None:
        if not self.resized:
            super().reshape(bottom, top)

    def _held(self) -> bool:
        if self.context.data == "resident" or (self.context.data == "auto" and self.context.on_gpu):
            log.info(self._sized, f"{self.param.image_data_param.source}: files of images are read batch by batch")
        return False

    def fetch(self, top: list[Blob]) -> None:
        before = top[0].shape
        super().fetch(top)
        self.resized = top[0].shape != before

    def _log_opening(self) -> None:
        super()._log_opening()
        log.info("image_data_layer.cpp:38", f"Opening file {self.param.image_data_param.source}")
        if self.param.image_data_param.shuffle:
            log.info("image_data_layer.cpp:53", "Shuffling data")
        log.info("image_data_layer.cpp:63", f"A total of {len(self.source)} images.")
        if self.source.skipped is not None:
            log.info("image_data_layer.cpp:70", f"Skipping first {self.source.skipped} data points.")


class Input(_Source):
    """Blobs that the caller fills."""

    def layer_setup(self, bottom: list[Blob], top: list[Blob]) -> None:
        shapes = self.param.input_param.shape
        self.check(
            len(shapes) in (0, 1, len(top)),
            f"Must specify 'shape' once, once per top blob, or not at all: {len(top)} tops vs. {len(shapes)} shapes.",
        )
        for index, blob in enumerate(top):
            if shapes:
                blob.reshape(*shapes[index if len(shapes) > 1 else 0].dim)

    def reshape(self, bottom: list[Blob], top: list[Blob]) -> None:
        pass

    def forward(self, bottom: list[Blob], top: list[Blob]) -> None:
        pass


class DummyData(_Source):
    """A filler's values: drawn anew for each forward pass, but those of a constant filler, which stay."""

    def layer_setup(self, bottom: list[Blob], top: list[Blob]) -> None:
        param = self.param.dummy_data_param
        given = list(param.data_filler) or [FillerParameter(type="constant", value=0)]
        self.check(
            len(given) in (1, len(top)),
            f"Number of data fillers must be 0, 1 or equal to the number of tops: {len(top)}; found {len(given)}",
        )
        self._fillers = given * len(top) if len(given) == 1 else given
        self._shapes = [self._shape(index, len(top)) for index in range(len(top))]
        for index, blob in enumerate(top):
            blob.reshape(*self._shapes[index])
            if self._fillers[index].type == "constant":
                blob.value = self._fill(index)

    def _shape(self, index: int, tops: int) -> tuple[int, ...]:
        param = self.param.dummy_data_param
        old = [param.num, param.channels, param.height, param.width]
        if not any(old):
            self.check(len(param.shape) in (1, tops), f"Must specify 'shape' once, or once per top blob ({tops})")
            return tuple(param.shape[index if len(param.shape) > 1 else 0].dim)
        self.check(not param.shape, "Both shape and legacy fields were specified")
        names = "num, channels, height, width"
        self.check(
            all(len(sizes) in (1, tops) for sizes in old), f"Must specify {names} once, or once per top ({tops})"
        )
        return tuple(sizes[index if len(sizes) > 1 else 0] for sizes in old)

    def reshape(self, bottom: list[Blob], top: list[Blob]) -> None:
        pass

    def forward(self, bottom: list[Blob], top: list[Blob]) -> None:
        for index, blob in enumerate(top):
            if self._fillers[index].type != "constant":
                blob.value = self._fill(index)

    def _fill(self, index: int) -> torch.Tensor:
        return self.filled(self._shapes[index], self._fillers[index])
