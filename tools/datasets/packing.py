"""Writes the LMDBs of one half: the images are decoded once into a raw file, the spool, and every LMDB reads from it.

The spool is in the order of the lists, so image files that are neighbours on disk are read together, on all cores. Then
each LMDB reads its images from the spool in its shuffled order. All LMDBs of the half are written at the same time.
"""

import contextlib
import errno
import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np

from caffeformat import datum, lmdb_file
from tools.common.errors import UserError
from tools.common.files import create_locked, new_folder, temporary_folder, write_record
from tools.common.lmdb_checksum import CHECKSUM, lmdb_checksum
from tools.common.lmdb_removal import is_removed, put_back
from tools.common.progress import progress
from tools.common.shuffle import shuffled
from tools.common.workers import parallel_map
from tools.datasets import BadImage, DataSet
from tools.datasets.checked import bad_images_error
from tools.protocol.experiment import Experiment

_CHUNK = 128  # images that a worker decodes at a time


@dataclass(frozen=True)
class Database:
    """An LMDB to write."""

    name: str  # A/n0500
    folder: Path
    list_sha256: str
    labels: dict[str, int]  # reference -> label, in the order of the list
    content: str | None  # checksum of the images that split saw; None for a split of an earlier version


def shape(exp: Experiment) -> tuple[int, int, int]:
    """The shape of every Datum, CHW."""
    return (1 if exp.gray else 3, exp.image_size, exp.image_size)


class HalfPacker:
    """Writes the databases of one half, through a spool."""

    def __init__(self, exp: Experiment, data: DataSet, databases: list[Database], seed: int) -> None:
        self._exp, self._data, self._databases, self._seed = exp, data, databases, seed
        self._shape = shape(exp)
        self._bytes = int(np.prod(self._shape))
        self._references = list(dict.fromkeys(reference for d in databases for reference in d.labels))
        self._order = shuffled(self._references, seed, "pack")
        slots = {reference: slot for slot, reference in enumerate(self._references)}
        self._slots = [slots[reference] for reference in self._order]  # where the spool has them
        self._bad: dict[str, str] = {}
        self._pixels = np.empty((_CHUNK, *self._shape), np.uint8)  # of a chunk; each worker has its own after the fork
        self._planes = [list(image) for image in self._pixels]  # the channels of each, as cv2.split wants them

    def pack(self, folder: Path) -> None:
        """Writes the databases; the spool is in `folder`. Raises UserError, and OSError if the disk fails."""
        half = self._databases[0].name[0]
        folder.mkdir(parents=True, exist_ok=True)
        spool = folder / f".spool.{os.getpid()}.part"
        with contextlib.suppress(BadImage):  # reported below
            self._data.read(self._references[0])  # a data set that is kept in memory is read before the workers fork
        try:
            with create_locked(spool, Path.touch), open(spool, "r+b") as file:
                self._file = file.fileno()
                self._fill_and_write(half)
        finally:
            spool.unlink(missing_ok=True)

    def _fill_and_write(self, half: str) -> None:
        with progress(f"half {half}: decode", len(self._references), "images") as update:
            for count, bad in parallel_map(self._decode, range(0, len(self._references), _CHUNK)):
                self._bad |= bad
                update(count)
        if self._bad and self._exp.on_bad_image == "error":
            raise bad_images_error(self._exp, self._data, self._bad)
        self._databases.sort(key=lambda d: -len(d.labels))  # the largest first, so that the cores finish together
        with progress(f"half {half}: write", sum(len(d.labels) for d in self._databases), "entries") as update:
            for index in parallel_map(self._write, range(len(self._databases))):
                update(len(self._databases[index].labels))

    def _decode(self, start: int) -> tuple[int, dict[str, str]]:
        """Decodes a chunk of images into the spool. Returns their number, and reference -> reason of the bad ones."""
        chunk = self._references[start : start + _CHUNK]
        bad = {}
        for planes, reference in zip(self._planes, chunk, strict=False):
            try:
                self._put(planes, self._data.read(reference, self._exp.gray))
            except BadImage as error:
                bad[reference] = str(error)  # its place in the spool holds anything; nobody reads it
        pixels = self._pixels[: len(chunk)]
        if os.pwrite(self._file, pixels.data, start * self._bytes) < pixels.nbytes:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        return len(chunk), bad

    def _put(self, planes: list[np.ndarray], image: np.ndarray) -> None:
        """Writes `image`, HxW or HxWx3 of any size, into `planes`, its channels, resized to their height and width."""
        _, height, width = self._shape
        if image.shape[:2] != (height, width):
            image = cv2.resize(image, (width, height), interpolation=cv2.INTER_LINEAR)
        if image.ndim == 2:
            planes[0][:] = image
        else:
            cv2.split(image, planes)

    def _write(self, index: int) -> int:
        database = self._databases[index]
        if is_removed(database.folder):  # put back into its folder, whose other files may be in use
            with temporary_folder(database.folder) as part:
                self._fill(part, database)
                if put_back(part, database.folder):
                    return index
        with new_folder(database.folder) as part:
            self._fill(part, database)
        return index

    def _fill(self, part: Path, database: Database) -> None:
        """Writes data.mdb and pack.json into the folder `part`."""
        new = part / "new"  # the LMDB writer creates its folder itself
        entries = lmdb_file.write(new, self._records(database))
        for file in new.iterdir():
            file.rename(part / file.name)
        new.rmdir()
        if not entries:
            raise UserError(f"{database.folder}: not one of its {len(database.labels)} images can be read")
        manifest = {
            "root": str(self._data.root),
            "list_sha256": database.list_sha256,
            "entries": entries,
            "skipped": len(database.labels) - entries,
            "shape": list(self._shape),
            "shuffle_seed": self._seed,
            CHECKSUM: lmdb_checksum(part),
        } | ({} if database.content is None else {"content": database.content})
        write_record(part / "pack.json", manifest)

    def _records(self, database: Database) -> Iterator[tuple[bytes, bytes]]:
        """Keys and Datums in shuffled order. As in convert_imageset, the number of a skipped image is not used."""
        number, label_of = -1, database.labels.get
        for reference, slot in zip(self._order, self._slots, strict=True):
            label = label_of(reference)
            if label is None:  # not in the list
                continue
            number += 1
            if reference not in self._bad:
                pixels = os.pread(self._file, self._bytes, slot * self._bytes)
                yield lmdb_file.key(number, reference), datum.encode_bytes(pixels, self._shape, label)
