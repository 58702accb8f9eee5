"""Decode the images into LMDBs of Caffe's Datums, each image once for all sizes.

    python -m tools pack experiments/tiny.yaml

turns every list of a split into an LMDB, data/tiny-imagenet/split0/64x64/A/n0500 and so on: CHW, BGR, uint8, resized
(bilinear) as Caffe's convert_imageset does, under its keys, shuffled with a seed (protocol.md, Data 4).

Half by half, the images of all its lists are decoded on all cores into one raw file, the spool, each at its place in the
packing order. Then every LMDB is written from the spool, front to back. The order of two images is the same in every
LMDB that has both, so reading is sequential and fits machines whose memory holds neither.
"""

import contextlib
import os
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from caffeformat import datum, lmdb_file
from tools import cli
from tools.bad_images import refuse
from tools.datasets import BadImage, DataSet, open_dataset
from tools.errors import UserError
from tools.experiment import Experiment
from tools.files import lock, new_folder, read_json, sha256, write_json
from tools.layout import Split, split_of, split_seeds, train_sizes
from tools.progress import progress
from tools.shuffle import shuffled
from tools.workers import spread

_CHUNK = 128  # images a worker decodes at a time
_PAGE = 4096  # bytes of an LMDB page, at the least


@dataclass(frozen=True)
class Database:
    """One LMDB to write."""

    name: str  # A/n0500
    folder: Path
    list_sha256: str
    labels: dict[str, int]  # reference -> label, in the order of the list


def pack(exp: Experiment, seed: int) -> bool:
    """Writes every LMDB that `exp` needs for one of its seeds and that is not there; returns False if all were.

    Raises UserError for: lists that are absent or changed, images that cannot be read (unless `on_bad_image: skip`), a
    disk without room.
    """
    place = split_of(exp, seed)
    with lock(place.folder / ".lock"):
        if is_complete(exp, seed):
            return False
        _clean(place.folder)
        wanted = [database for database in _wanted(exp, place) if not _is_packed(exp, database)]
        halves = [[database for database in wanted if database.name.startswith(half)] for half in "AB"]
        _check_room(exp, place, halves)
        data = open_dataset(exp)
        for databases in filter(None, halves):
            with _system_errors(place):
                _Half(exp, place, data, databases, split_seeds(exp, seed)[1]).pack()
        write_json(place.packed, {"lmdbs": _present(place)})
        return True


def is_complete(exp: Experiment, seed: int) -> bool:
    """Whether the graph's mark names every LMDB that `exp` needs, each made from the list that split.json has now."""
    place = split_of(exp, seed)
    made, lists = read_json(place.packed), read_json(place.marker)
    if made is None or lists is None:
        return False
    for name in _names(exp, place):
        entry = lists["lists"].get(f"{name}.txt")
        if entry is None or made["lmdbs"].get(name) != entry["sha256"]:
            return False
        if not _is_whole(exp, place.folder / place.images / name, entry["sha256"]):
            return False
    return True


def _names(exp: Experiment, place: Split) -> list[str]:
    """A/n0500, ..., B/val"""
    paths = [place.train_list(half, size) for half in "AB" for size in train_sizes(exp)]
    paths += [place.val_list(half) for half in "AB"]
    return [str(path.relative_to(place.folder).with_suffix("")) for path in paths]


def _wanted(exp: Experiment, place: Split) -> list[Database]:
    made = read_json(place.marker)
    again = f"run `python -m tools split {exp.file}` first"
    if made is None:
        raise UserError(f"{place.marker}: no split yet; {again}")
    databases = []
    for name in _names(exp, place):
        path = place.folder / f"{name}.txt"
        entry = made["lists"].get(f"{name}.txt")
        if entry is None or not path.is_file():
            raise UserError(f"{path}: no such list; {again}")
        if sha256(path) != entry["sha256"]:
            raise UserError(f"{path}: changed since the split was made; {again}")
        databases.append(Database(name, place.folder / place.images / name, entry["sha256"], _read_list(path)))
    return databases


def _read_list(path: Path) -> dict[str, int]:
    lines = (line.rpartition(" ") for line in path.read_text().splitlines())
    return {reference: int(label) for reference, _, label in lines}


def _is_packed(exp: Experiment, database: Database) -> bool:
    return _is_whole(exp, database.folder, database.list_sha256)


def _is_whole(exp: Experiment, folder: Path, list_sha256: str) -> bool:
    """Whether `folder` is an LMDB of that list. pack.json came with the folder's rename: where it is, all is."""
    made = read_json(folder / "pack.json")
    if made is None or not (folder / "data.mdb").is_file():
        return False
    right = made["list_sha256"] == list_sha256 and made["shape"] == list(_shape(exp))
    return right and (exp.on_bad_image == "skip" or made["skipped"] == 0)


def _present(place: Split) -> dict[str, str]:
    """Name -> list_sha256 of every LMDB that is there, those of other experiments too."""
    root = place.folder / place.images
    found = sorted(root.glob("[AB]/[nv]*/pack.json"))
    return {str(path.parent.relative_to(root)): read_json(path)["list_sha256"] for path in found}


def _shape(exp: Experiment) -> tuple[int, int, int]:
    """CHW of every Datum."""
    return (1 if exp.gray else 3, exp.image_size, exp.image_size)


class _Half:
    """The databases of one half, and the spool that they are written from."""

    def __init__(self, exp: Experiment, place: Split, data: DataSet, databases: list[Database], seed: int) -> None:
        self._exp, self._data, self._databases, self._seed = exp, data, databases, seed
        self._shape = _shape(exp)
        self._bytes = int(np.prod(self._shape))
        self._references = list(dict.fromkeys(reference for d in databases for reference in d.labels))
        self._order = shuffled(self._references, seed, "pack")
        self._slots = {reference: slot for slot, reference in enumerate(self._order)}
        self._spool = place.folder / place.images / f".spool.{os.getpid()}.part"
        self._bad: dict[str, str] = {}

    def pack(self) -> None:
        half = self._databases[0].name[0]
        self._spool.parent.mkdir(parents=True, exist_ok=True)
        try:
            self._file = os.open(self._spool, os.O_RDWR | os.O_CREAT | os.O_TRUNC)
            with progress(f"half {half}: decode", len(self._references), "images") as update:
                for count, bad in spread(self._decode, range(0, len(self._references), _CHUNK)):
                    self._bad |= bad
                    update(count)
            if self._bad and self._exp.on_bad_image == "error":
                raise refuse(self._exp, self._data, self._bad)
            self._databases.sort(key=lambda d: -len(d.labels))  # the longest first: then the cores end together
            with progress(f"half {half}: write", sum(len(d.labels) for d in self._databases), "entries") as update:
                for index in spread(self._write, range(len(self._databases))):
                    update(len(self._databases[index].labels))
        finally:
            os.close(self._file)
            self._spool.unlink(missing_ok=True)

    def _decode(self, start: int) -> tuple[int, dict[str, str]]:
        """Puts a chunk of images into their slots; returns how many, and reference -> reason of those it could not read."""
        chunk = self._references[start : start + _CHUNK]
        bad = {}
        for reference in chunk:
            try:
                image = self._data.read(reference, self._exp.gray)
            except BadImage as error:
                bad[reference] = str(error)
                continue
            os.pwrite(self._file, self._pixels(image), self._slots[reference] * self._bytes)
        return len(chunk), bad

    def _pixels(self, image: np.ndarray) -> bytes:
        """HxW or HxWx3 of any size -> CHW bytes of `image_size`."""
        _, height, width = self._shape
        if image.shape[:2] != (height, width):
            image = cv2.resize(image, (width, height), interpolation=cv2.INTER_LINEAR)
        return image.tobytes() if image.ndim == 2 else image.transpose(2, 0, 1).tobytes()

    def _write(self, index: int) -> int:
        database = self._databases[index]
        with new_folder(database.folder) as part:
            part.rmdir()  # the writer makes it
            entries = lmdb_file.write(part, self._records(database))
            if not entries:
                raise UserError(f"{database.folder}: not one of its {len(database.labels)} images can be read")
            made = {
                "list_sha256": database.list_sha256,
                "entries": entries,
                "skipped": len(database.labels) - entries,
                "shape": list(self._shape),
                "shuffle_seed": self._seed,
            }
            write_json(part / "pack.json", made)
        return index

    def _records(self, database: Database) -> Iterator[tuple[bytes, bytes]]:
        """(key, Datum) in packing order. As with convert_imageset, an image left out leaves its number out."""
        labels = database.labels
        for number, reference in enumerate(r for r in self._order if r in labels):
            if reference not in self._bad:
                pixels = os.pread(self._file, self._bytes, self._slots[reference] * self._bytes)
                image = np.frombuffer(pixels, np.uint8).reshape(self._shape)
                yield lmdb_file.key(number, reference), datum.encode(image, labels[reference])


def _clean(folder: Path) -> None:
    """Removes what killed processes left. Nobody else writes here: the caller holds the split's lock."""
    for part in folder.rglob(".*.part"):
        if part.is_dir():
            shutil.rmtree(part)
        else:
            part.unlink(missing_ok=True)


def _check_room(exp: Experiment, place: Split, halves: list[list[Database]]) -> None:
    """Raises UserError if the disk has not the room for the LMDBs and the spool of the larger half."""
    pixels = int(np.prod(_shape(exp)))
    databases = sum(_lmdb_bytes(pixels, len(d.labels)) for half in halves for d in half)
    spool = pixels * max(len({reference for d in half for reference in d.labels}) for half in halves)
    free = shutil.disk_usage(place.folder).free
    if databases + spool > free:
        count = sum(map(len, halves))
        raise UserError(
            f"{place.folder}: {count} LMDBs need {databases / 1e9:.1f} GB and packing {spool / 1e9:.1f} GB more for a "
            f"while, but {free / 1e9:.1f} GB are free; make room, or select fewer sizes"
        )


def _lmdb_bytes(pixels: int, entries: int) -> int:
    """What LMDB takes for `entries` Datums of so many bytes: above half a page, a record has whole pages of its own."""
    record = pixels + 16 + 40  # the Datum's fields and the page's header; the key
    whole = -(-(pixels + 32) // _PAGE) * _PAGE + 80  # and a key with a page number in a leaf
    each = whole if record > _PAGE // 2 else _PAGE / (_PAGE // record)
    return int(entries * each * 1.01) + 1_000_000


@contextlib.contextmanager
def _system_errors(place: Split) -> Iterator[None]:
    """A disk that is full or fails is told as such."""
    try:
        yield
    except OSError as error:
        raise UserError(f"{place.folder}: cannot be written ({error.strerror}); mend that and pack again") from None


def main(argv: list[str]) -> None:
    exp = cli.experiment("pack", __doc__, argv)
    for seed in exp.seeds:
        place = split_of(exp, seed)
        done = pack(exp, seed)
        print(f"{place.folder / place.images}: {_summary(exp, place)}: {'written' if done else 'complete already'}")


def _summary(exp: Experiment, place: Split) -> str:
    made: list[dict[str, Any]] = [
        read_json(place.folder / place.images / name / "pack.json") for name in _names(exp, place)
    ]
    skipped = sum(one["skipped"] for one in made)
    text = f"{len(made)} LMDBs, {sum(one['entries'] for one in made):,} entries"
    return text + (f", {skipped} unreadable images skipped" if skipped else "")
