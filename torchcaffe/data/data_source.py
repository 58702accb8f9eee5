"""The images of a Data layer: the records of a database in the order of their keys, over and over, transformed.

BVLC Caffe's prefetch thread reads `prefetch` batches (default 4) before the first one is used, and one more each time a
batch has been used. When it passes the last record, it logs "Restarting data prefetching from start.". So the log
has that line before the data are used; its exact place depends on the timing of the threads. Here, batches are read
when they are needed. `restarts()` counts the lines that Caffe would have logged with a prefetch thread that is never
late.

Source followed: BVLC Caffe's data_layer.cpp.
"""

from collections.abc import Iterator
from contextlib import contextmanager, suppress
from functools import partial
from math import prod
from pathlib import Path

import numpy as np

from caffeformat import FormatError, datum, leveldb_file, lmdb_file
from caffeformat.caffeformat_pb2 import DataParameter, LayerParameter
from torchcaffe.data import images
from torchcaffe.data.plain_records import PlainRecords
from torchcaffe.data.transformer import SeveralSizes, Shape, Transformers, own_generator, size
from torchcaffe.random.rng import Generator, State

_QUICK = 1 << 16  # values of a batch that is read when it is needed, in 0.2 ms
_AT_ONCE, _MOST_AT_ONCE = 1 << 17, 8  # values, and batches, that `next_batches` reads at once
_PREFIX = "transformer."  # of the transformer's entries in a source's state


class DatumSource:
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
            self._reader = _open(param)
        self._count = len(self._reader)
        if not self._count:
            raise self._error(f"{param.source}: a database without records")
        first = self._decoded(0)[0]
        self.image_shape, self.image_type = first.shape, first.dtype
        self._plain = PlainRecords(self._reader.get(0)[1], self.image_shape)
        self._transformers = Transformers(
            layer.transform_param, phase, own_generator(layer.transform_param, phase, rng)
        )
        with self._named():
            self.transform = self._transformers.of(self.image_shape)
        rng.rand()
        self._ahead = param.prefetch * self.batch_size
        self.is_quick = self._plain.are_plain and self.batch_size * prod(self.shape) <= _QUICK
        self._position = 0  # of the next record; it does not start again at 0 in a new round
        self._one_by_one_until = 0  # a position: among the records before it is one that is not plain
        self._loaded = 0  # records that Caffe's thread would have read
        self._passed = 0  # ends of the data for which the log line has been counted
        self._start_at(0)

    def __len__(self) -> int:
        """The number of records."""
        return self._count

    @property
    def shape(self) -> Shape:
        """Channels, height and width of the first image, transformed."""
        return self.transform.shape

    def next_batch(self, n: int) -> tuple[np.ndarray, np.ndarray]:
        """The next `n` images (float32, NCHW) and their labels (float32, n). Raises FormatError."""
        if self._plain.are_plain and (plain := self._plain_batch(n)) is not None:
            self._advance(n)
            return plain
        images, labels = [], np.empty(n, np.float32)
        for i, index in enumerate(self._indices(n)):
            image, labels[i] = self._decoded(int(index))
            images.append(image)
        start = self._position % self._count
        self._advance(n)
        try:
            with self._named():
                return self._transformers(images), labels
        except SeveralSizes as error:
            batch = f"{self._source}: from record {start} on: {error}"
            raise self._error(f"{batch}; pack them in one size, or give a crop_size, or batch_size: 1") from None

    def next_batches(self, n: int) -> list[tuple[np.ndarray, np.ndarray, int, State]]:
        """One or more batches, one after the other: the images and labels of `next_batch`, and what `restarts` and
        `state` say after each.

        Small batches take half the time if some are read together: most of it is calls. Raises FormatError.
        """
        count = max(1, min(_MOST_AT_ONCE, _AT_ONCE // (n * prod(self.shape))))
        found = None
        if count > 1 and self._position >= self._one_by_one_until:
            with suppress(FormatError):  # the batch that has the fault tells it, when its turn comes
                found = self._plain_records(count * n)
            if found is None:
                self._one_by_one_until = self._position + count * n
        if found is None:
            return [(*self.next_batch(n), self.restarts(), self.state())]
        choices, after = [], []
        for _ in range(count):
            choices.append(self.transform.draw(n))
            self._advance(n)
            after.append((self.restarts(), self.state()))
        mirrors, tops, lefts = map(np.concatenate, zip(*choices, strict=True))
        images, labels = self.transform(found[0], (mirrors, tops, lefts)), found[1]
        places = (slice(start, start + n) for start in range(0, count * n, n))
        return [(images[place], labels[place], *ends) for place, ends in zip(places, after, strict=True)]

    def _plain_batch(self, n: int) -> tuple[np.ndarray, np.ndarray] | None:
        """The next `n` images and labels; None if a record is not like the first one."""
        found = self._plain_records(n)
        return None if found is None else (self.transform(found[0]), found[1])

    def _plain_records(self, n: int) -> tuple[np.ndarray | list[np.ndarray], np.ndarray] | None:
        """The next `n` images, as they are stored, and their labels; None if a record is not like the first one."""
        with self._named():
            return self._plain.batch(self._reader.values(self._position, n))

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
        """The images from `start` to `stop` as they are stored (uint8 or float32, NCHW), and their labels (int32).

        Raises SeveralSizes unless all have the first one's size and type, FormatError.
        """
        records = [self._read(i) for i in range(self._count)[start:stop]]
        return np.stack([image for image, _ in records]), np.array([label for _, label in records], np.int32)

    def state(self) -> State:
        """The arrays that determine the next batches: `position`, and the state of the transformer."""
        inner = {_PREFIX + name: array for name, array in self._transformers.state().items()}
        return {"position": np.array(self._position, np.int64), **inner}

    def restore(self, state: State) -> None:
        """Goes back to `state()`. Raises FormatError for the state of a layer with another kind of transformer."""
        if state.keys() != self.state().keys():
            raise self._error(
                "the resume file next to the solverstate is of another data layer: have crop_size or mirror been "
                "changed? Remove that file to begin with the first image again"
            )
        inner = {name.removeprefix(_PREFIX): array for name, array in state.items() if name.startswith(_PREFIX)}
        self._transformers.restore(inner)
        self._start_at(int(state["position"]))

    def _start_at(self, position: int) -> None:
        """Makes the record at `position` the next one; Caffe's thread has read ahead from there."""
        self._position = position
        self._one_by_one_until = 0
        self._passed = position // self._count
        self._loaded = position + self._ahead

    def _check(self, param: DataParameter) -> None:
        for name in ("batch_size", "prefetch"):
            if getattr(param, name) < 1:
                raise self._error(f"data_param needs {name}: 1 or more; found {getattr(param, name)}")

    def _read(self, index: int) -> tuple[np.ndarray, int]:
        """Image and label of the record at `index`. Raises SeveralSizes unless the image is of the first one's kind."""
        image, label = self._decoded(index)
        if image.shape != self.image_shape or image.dtype != self.image_type:
            found, first = f"{image.dtype} {size(image.shape)}", f"{self.image_type} {size(self.image_shape)}"
            raise SeveralSizes(
                f"{self._source}: record {index} is an image of {found}, but the first is one of {first}"
            )
        return image, label

    def _decoded(self, index: int) -> tuple[np.ndarray, int]:
        with self._named():
            key, value = self._reader.get(index)
            try:
                return datum.decode(value, self._decode, floats=True)
            except FormatError as error:
                raise FormatError(f"{self._source}: record {index} ({key.decode(errors='replace')}): {error}") from None

    @contextmanager
    def _named(self) -> Iterator[None]:
        """Adds the layer's name to errors."""
        try:
            yield
        except SeveralSizes:
            raise
        except FormatError as error:
            raise self._error(str(error)) from None

    def _error(self, text: str) -> FormatError:
        return FormatError(f"layer {self._name}: {text}")


def _open(param: DataParameter) -> lmdb_file.Reader | leveldb_file.Reader:
    """The database that a Data layer names. Raises FormatError."""
    is_lmdb = param.backend == DataParameter.LMDB
    other = Path(param.source) / (leveldb_file.NAME if is_lmdb else "data.mdb")
    if other.is_file():
        name, wrong = ("LEVELDB", "LMDB") if is_lmdb else ("LMDB", "LEVELDB, which is Caffe's default")
        raise FormatError(f"{param.source}: the backend is {wrong}, but it holds {other.name}; write backend: {name}")
    return (lmdb_file if is_lmdb else leveldb_file).open_reader(param.source)
