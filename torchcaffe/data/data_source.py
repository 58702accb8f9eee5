"""The images of a Data layer: the records of an LMDB in the order of their keys, over and over, transformed.

BVLC Caffe's prefetch thread reads `prefetch` batches (default 4) before the first one is used, and one more each time a
batch has been used. When it passes the last record, it logs "Restarting data prefetching from start.". So the log
has that line before the data are used; its exact place depends on the timing of the threads. Here, batches are read
when they are needed. `restarts()` counts the lines that Caffe would have logged with a prefetch thread that is never
late.

Source followed: BVLC Caffe's data_layer.cpp.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial

import numpy as np

from caffeformat import FormatError, datum, lmdb_file
from caffeformat.caffeformat_pb2 import DataParameter, LayerParameter
from torchcaffe.data import images
from torchcaffe.data.transformer import Shape, Transformer, own_generator, size
from torchcaffe.random.rng import Generator, State

_PREFIX = "transformer."  # of the transformer's entries in a source's state


class LmdbSource:
    """The records that the Data layer `layer` names, beginning with the first.

    Draws from `rng`, the solver's generator, as often as Caffe's layer does: twice for a transformer that uses random
    numbers, then once for the prefetch thread. Raises FormatError, with the layer's name.
    """

    def __init__(self, layer: LayerParameter, phase: int, rng: Generator):
        param = layer.data_param
        self._name, self._source = layer.name, param.source
        self.batch_size = param.batch_size
        self._check(param)
        color, gray = layer.transform_param.force_color, layer.transform_param.force_gray
        if color and gray:
            raise self._error("cannot set both force_color and force_gray")
        self._decode = partial(images.decode, color=color if color or gray else None)
        with self._named():
            self._reader = lmdb_file.open_reader(param.source)
        self._count = len(self._reader)
        if not self._count:
            raise self._error(f"{param.source}: an LMDB without records")
        self.image_shape = self._decoded(0)[0].shape
        with self._named():
            own = own_generator(layer.transform_param, phase, rng)
            self.transform = Transformer(layer.transform_param, phase, self.image_shape, own)
        rng.rand()
        self._ahead = param.prefetch * self.batch_size
        self._position = 0  # of the next record; it does not start again at 0 in a new round
        self._loaded = 0  # records that Caffe's thread would have read
        self._passed = 0  # ends of the data for which the log line has been counted
        self._start_at(0)

    def __len__(self) -> int:
        """The number of records."""
        return self._count

    @property
    def shape(self) -> Shape:
        """Channels, height and width of a transformed image."""
        return self.transform.shape

    def next_batch(self, n: int) -> tuple[np.ndarray, np.ndarray]:
        """The next `n` images (float32, NCHW) and their labels (float32, n). Raises FormatError."""
        images, labels = [], np.empty(n, np.float32)
        for i, index in enumerate(self._indices(n)):
            image, labels[i] = self._read(int(index))
            images.append(image)
        self._advance(n)
        return self.transform(images), labels

    def next_choices(self, n: int) -> np.ndarray:
        """Index, mirror (0 or 1), row and column of the crop for each image of the next batch: (4, n) int64."""
        choices = np.stack([self._indices(n), *self.transform.draw(n)])
        self._advance(n)
        return choices

    def _indices(self, n: int) -> np.ndarray:
        return (self._position + np.arange(n)) % self._count

    def _advance(self, n: int) -> None:
        self._position += n
        self._loaded = max(self._loaded, self._position + self._ahead - self.batch_size)

    def restarts(self) -> int:
        """How often Caffe's prefetch thread would have passed the end of the data since the last call."""
        passed = self._loaded // self._count
        passed, self._passed = passed - self._passed, passed
        return passed

    def records(self, start: int = 0, stop: int | None = None) -> tuple[np.ndarray, np.ndarray]:
        """The images from `start` to `stop` as they are stored (uint8, NCHW), and their labels (int32).

        Raises FormatError.
        """
        records = [self._read(i) for i in range(self._count)[start:stop]]
        return np.stack([image for image, _ in records]), np.array([label for _, label in records], np.int32)

    def state(self) -> State:
        """The arrays that determine the next batches: `position`, and the state of the transformer."""
        inner = {_PREFIX + name: array for name, array in self.transform.state().items()}
        return {"position": np.array(self._position, np.int64), **inner}

    def restore(self, state: State) -> None:
        """Goes back to `state()`. Raises FormatError for the state of a layer with another kind of transformer."""
        if state.keys() != self.state().keys():
            raise self._error(
                "the resume file next to the solverstate is of another data layer: have crop_size or mirror been "
                "changed? Remove that file to begin with the first image again"
            )
        inner = {name.removeprefix(_PREFIX): array for name, array in state.items() if name.startswith(_PREFIX)}
        self.transform.restore(inner)
        self._start_at(int(state["position"]))

    def _start_at(self, position: int) -> None:
        """Makes the record at `position` the next one; Caffe's thread has read ahead from there."""
        self._position = position
        self._passed = position // self._count
        self._loaded = position + self._ahead

    def _check(self, param: DataParameter) -> None:
        if param.backend != DataParameter.LMDB:
            raise self._error("data_param needs backend: LMDB; LevelDB, which is Caffe's default, is not read")
        for name in ("batch_size", "prefetch"):
            if getattr(param, name) < 1:
                raise self._error(f"data_param needs {name}: 1 or more; found {getattr(param, name)}")

    def _read(self, index: int) -> tuple[np.ndarray, int]:
        """Image and label of the record at `index`. Raises FormatError unless the image has the first one's shape."""
        image, label = self._decoded(index)
        if image.shape != self.image_shape:
            raise self._error(
                f"{self._source}: record {index} is an image of {size(image.shape)}, but the first is one of "
                f"{size(self.image_shape)}; pack them in one size"
            )
        return image, label

    def _decoded(self, index: int) -> tuple[np.ndarray, int]:
        with self._named():
            key, value = self._reader.get(index)
            try:
                return datum.decode(value, self._decode)
            except FormatError as error:
                raise FormatError(f"{self._source}: record {index} ({key.decode(errors='replace')}): {error}") from None

    @contextmanager
    def _named(self) -> Iterator[None]:
        """Adds the layer's name to errors."""
        try:
            yield
        except FormatError as error:
            raise self._error(str(error)) from None

    def _error(self, text: str) -> FormatError:
        return FormatError(f"layer {self._name}: {text}")
