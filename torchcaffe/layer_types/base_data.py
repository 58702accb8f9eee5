"""BaseDataLayer, the base class of data layers, and BasePrefetchingDataLayer, that of data layers that read ahead.

Source followed: BVLC Caffe's base_data_layer.cpp.
"""

from concurrent.futures import Future, ThreadPoolExecutor
from typing import ClassVar, Protocol

import numpy as np
import torch

from caffeformat import FormatError
from caffeformat.caffeformat_pb2 import LayerParameter
from torchcaffe.common import log
from torchcaffe.common.context import Context
from torchcaffe.layer_types.base import Blob, Fatal, Layer, Range, to_device
from torchcaffe.random.rng import State

_FEW_CHANNELS = 4  # up to which numpy is faster channel by channel: 0.15 ms instead of 0.43 for 64 images of 3x57x57

_Array = np.ndarray | torch.Tensor
Batch = tuple[_Array, _Array, int, State]  # images, labels, restarts due, the source's state after it


class BaseDataLayer(Layer):
    """A layer without bottoms. The host makes its tops, unless a type says otherwise."""

    n_bottoms: ClassVar[Range] = (0, 0)
    n_tops: ClassVar[Range] = (1, None)

    @property
    def from_host(self) -> bool:
        return True

    def fetch(self, top: list[Blob]) -> None:
        self.forward([], top)

    def compute(self, bottom: list[Blob], top: list[Blob]) -> None:
        pass

    def backward(self, top: list[Blob], propagate_down: list[bool], bottom: list[Blob]) -> None:
        pass


class Source(Protocol):
    """The interface of a source of batches: DatumSource or ImageSource."""

    batch_size: int

    def __len__(self) -> int: ...

    @property
    def shape(self) -> tuple[int, int, int]:
        """Channels, height and width of an image."""

    def next_batch(self, n: int) -> tuple[np.ndarray, np.ndarray]:
        """Images (float32, NCHW) and labels (float32, n)."""

    def restarts(self) -> int:
        """How many lines "Restarting data prefetching" Caffe has logged since the last call."""

    def state(self) -> State: ...

    def restore(self, state: State) -> None: ...


class BasePrefetchingDataLayer(BaseDataLayer):
    """Batches of images and, if there is a second top, of labels.

    Where images are neither cropped nor resized, each batch has their size, and the net is reshaped to it.

    A thread prepares the next batch while the net works on this one. It draws nothing from the solver's generator, and
    computes by numpy alone (`_channels_last` says why).
    """

    source: Source
    size_place: ClassVar[str]  # file:line at which Caffe logs the size of a batch
    source_place: ClassVar[str]  # file:line at which Caffe stops if it cannot read the source

    def __init__(self, param: LayerParameter, context: Context, where: str):
        super().__init__(param, context, where)
        try:
            self.source = self.open_source()
        except FormatError as error:
            raise Fatal(f"{where}: {error}", self.source_place) from None

    def open_source(self) -> Source:
        """Opens what the prototxt names. Raises FormatError."""
        raise NotImplementedError

    def layer_setup(self, bottom: list[Blob], top: list[Blob]) -> None:
        self.log_opening()
        shape = ",".join(map(str, (self.source.batch_size, *self.source.shape)))
        log.info(self.size_place, f"output data size: {shape}")
        self._worker = ThreadPoolExecutor(1, thread_name_prefix=f"data layer {self.name}")
        self._next: Future[Batch] | None = None
        self._state = self.source.state()

    def log_opening(self) -> None:
        """Logs what Caffe logs before the size of a batch."""
        if self.param.transform_param.HasField("mean_file"):
            log.info("data_transformer.cpp:25", f"Loading mean file from: {self.param.transform_param.mean_file}")

    def reshape(self, bottom: list[Blob], top: list[Blob]) -> None:
        if self.resized:
            return
        top[0].reshape(self.source.batch_size, *self.source.shape)
        if len(top) > 1:
            top[1].reshape(self.source.batch_size)

    def forward(self, bottom: list[Blob], top: list[Blob]) -> None:
        self.fetch(top)
        self.compute(bottom, top)

    def fetch(self, top: list[Blob]) -> None:
        before = top[0].shape
        images, labels, restarts, self._state = self.take_batch()
        if not (isinstance(images, torch.Tensor) and isinstance(labels, torch.Tensor)):
            images, labels = to_device(images, self.context), to_device(labels, self.context)
        self.set_tops(top, images, labels)
        self.resized = top[0].shape != before
        self.log_restarts(restarts)

    def take_batch(self) -> Batch:
        """The next batch, prepared by the thread."""
        batch = self._next or self._worker.submit(self._load)
        loaded = batch.result()
        self._next = self._worker.submit(self._load)
        return loaded

    def _load(self) -> Batch:
        images, labels = self.arranged(*self.source.next_batch(self.source.batch_size))
        return images, labels, self.source.restarts(), self.source.state()

    def arranged(self, images: np.ndarray, labels: np.ndarray) -> tuple[_Array, _Array]:
        """The two as `fetch` takes them. On a CPU they are the net's tensors: a thread may do that beside its work."""
        if self.context.on_gpu:
            return images, labels
        return to_device(_channels_last(images), self.context), to_device(labels, self.context)

    def set_tops(self, top: list[Blob], images: torch.Tensor, labels: torch.Tensor) -> None:
        top[0].value = images
        if len(top) > 1:
            top[1].value = labels

    def log_restarts(self, count: int) -> None:
        for _ in range(count):
            log.info("data_layer.cpp:73", "Restarting data prefetching from start.")

    def state(self) -> State:
        """The source's state before the prepared batch, which has not been used yet."""
        return self._state

    def restore(self, state: State) -> None:
        if self._next is not None:
            self._next.result()
            self._next = None
        self.source.restore(state)
        self._state = state


def _channels_last(images: np.ndarray) -> torch.Tensor:
    """`images` (NCHW) in the memory order of the CPU's nets, (N, H, W, C).

    By numpy: a call of PyTorch that takes several threads gives the thread that calls it a team of its own. Then
    libgomp counts more threads than there are cores, and no longer lets any wait awake for the next product of the net.
    """
    n, channels, height, width = images.shape
    if channels > _FEW_CHANNELS or images.transpose(0, 2, 3, 1).flags.c_contiguous:
        return torch.from_numpy(np.ascontiguousarray(images.transpose(0, 2, 3, 1))).permute(0, 3, 1, 2)
    rows = np.empty((n, height, width, channels), images.dtype)
    for channel in range(channels):
        rows[..., channel] = images[:, channel]
    return torch.from_numpy(rows).permute(0, 3, 1, 2)
