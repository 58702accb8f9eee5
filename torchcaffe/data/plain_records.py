"""Datums that differ in their pixels and labels alone, as those of convert_imageset and of the pipeline do.

All bytes before the pixels are the same, and few different ones follow, one for each label. So a batch is cut out of
the records without parsing each of them. What follows the pixels is parsed once, in a record that has it.
"""

from collections.abc import Sequence
from itertools import repeat
from operator import itemgetter

import numpy as np

from caffeformat import FormatError, datum

_MOST = 1 << 16  # endings that are remembered
_SMALL = 1 << 13  # values of an image up to which one copy of all images is quicker than a view of each


class PlainRecords:
    """Records like `first`, a Datum of uint8 pixels of `shape` (channels, height, width)."""

    def __init__(self, first: bytes, shape: tuple[int, int, int]) -> None:
        self._shape, self._size = shape, shape[0] * shape[1] * shape[2]
        self._head = datum.head(shape)
        self._start, self._end = len(self._head), len(self._head) + self._size
        self._labels: dict[bytes, int] = {}  # what follows the pixels -> the label
        self._ending_of = itemgetter(slice(self._end, None))
        self.are_plain = self._label(first) is not None

    def batch(self, records: Sequence[bytes]) -> tuple[np.ndarray | list[np.ndarray], np.ndarray] | None:
        """Images (uint8, NCHW, or large ones one by one, CHW; read-only) and labels (float32, N); None if a record is
        of another kind, or damaged."""
        labels = self._known_labels(records) or [self._label(record) for record in records]
        if not self.are_plain or None in labels:
            return None
        images: np.ndarray | list[np.ndarray]
        if self._size > _SMALL:
            views = (np.frombuffer(record, np.uint8, self._size, self._start) for record in records)
            images = [view.reshape(self._shape) for view in views]
        else:
            if len(set(map(len, records))) > 1:  # what follows the pixels differs in length
                records = [record[: self._end] for record in records]
            rows = np.frombuffer(b"".join(records), np.uint8).reshape(len(records), -1)
            images = rows[:, self._start : self._end].reshape(-1, *self._shape)
        return images, np.array(labels, np.float32)

    def _known_labels(self, records: Sequence[bytes]) -> list[int | None] | None:
        """The labels of `records`; None unless all are known. Without a call of Python for each record."""
        if min(map(len, records)) < self._end or not all(map(bytes.startswith, records, repeat(self._head))):
            return None
        labels = list(map(self._labels.get, map(self._ending_of, records)))
        return None if None in labels else labels

    def _label(self, record: bytes) -> int | None:
        if not record.startswith(self._head) or len(record) < self._end:
            return None
        ending = record[self._end :]
        label = self._labels.get(ending)
        return self._parsed(record, ending) if label is None else label

    def _parsed(self, record: bytes, ending: bytes) -> int | None:
        try:
            image, label = datum.decode(record)
        except FormatError:
            return None
        if image.shape != self._shape or image.tobytes() != record[self._start : self._end]:
            return None
        if len(self._labels) < _MOST:
            self._labels[ending] = label
        return label
