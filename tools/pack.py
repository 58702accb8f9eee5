"""Decode the images into LMDBs of Caffe's Datums, each image once for all sizes.

    python -m tools pack experiments/tiny.yaml

turns every list of a split into an LMDB, data/tiny-imagenet/split0/64x64/A/n0500 and so on: CHW, BGR, uint8, resized
(bilinear) as Caffe's convert_imageset does, under its keys, shuffled with a seed (protocol.md, Data 4).

tools/datasets/packing.py does the work, half by half; this file knows what is wanted, what is there and what it takes.
"""

import contextlib
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from tools import cli
from tools.common.errors import UserError
from tools.common.files import lock, read_json, remove_leftovers, sha256, write_json
from tools.datasets import DataSet, open_dataset
from tools.datasets.packing import Database, HalfPacker, shape
from tools.protocol.experiment import Experiment
from tools.protocol.layout import Split, split_of, split_seeds, train_sizes

_PAGE = 4096  # bytes of an LMDB page, at the least


def pack(exp: Experiment, seed: int) -> bool:
    """Writes every LMDB that `exp` needs for one of its seeds and that is not there; returns False if all were.

    Raises UserError for: lists that are absent or changed, images that cannot be read (unless `on_bad_image: skip`), a
    disk without room.
    """
    place = split_of(exp, seed)
    with lock(place.folder / ".lock"):
        if is_complete(exp, seed):
            return False
        remove_leftovers(place.folder)
        data = open_dataset(exp)
        wanted = _wanted(exp, place, data)
        halves = [[database for database in wanted if database.name.startswith(half)] for half in "AB"]
        _check_room(exp, place, halves)
        for databases in filter(None, halves):
            with _system_errors(place):
                HalfPacker(exp, data, databases, split_seeds(exp, seed)[1]).pack(place.folder / place.images)
        write_json(place.packed, {"lmdbs": _present(place)})
        return True


def is_complete(exp: Experiment, seed: int) -> bool:
    """Whether the graph's mark names every LMDB that `exp` needs, each made from the list that split.json has now."""
    place = split_of(exp, seed)
    made, split = read_json(place.packed), read_json(place.marker)
    if made is None or split is None:
        return False
    for name in _names(exp, place):
        entry = split["lists"].get(f"{name}.txt")
        if entry is None or made["lmdbs"].get(name) != entry["sha256"]:
            return False
        if not _is_whole(exp, place.folder / place.images / name, entry["sha256"], split["root"]):
            return False
    return True


def _names(exp: Experiment, place: Split) -> list[str]:
    """A/n0500, ..., B/val"""
    paths = [place.train_list(half, size) for half in "AB" for size in train_sizes(exp)]
    paths += [place.val_list(half) for half in "AB"]
    return [str(path.relative_to(place.folder).with_suffix("")) for path in paths]


def _wanted(exp: Experiment, place: Split, data: DataSet) -> list[Database]:
    """The LMDBs that `exp` needs and that are not there."""
    made = read_json(place.marker)
    again = f"run `python -m tools split {exp.file}` first"
    if made is None:
        raise UserError(f"{place.marker}: no split yet; {again}")
    if made["root"] != str(data.root):
        raise UserError(f"{place.marker}: made of the images in {made['root']}, which are now {data.root}; {again}")
    databases = []
    for name in _names(exp, place):
        path = place.folder / f"{name}.txt"
        entry = made["lists"].get(f"{name}.txt")
        if entry is None or not path.is_file():
            raise UserError(f"{path}: no such list; {again}")
        if sha256(path) != entry["sha256"]:
            raise UserError(f"{path}: changed since the split was made; {again}")
        folder = place.folder / place.images / name
        if not _is_whole(exp, folder, entry["sha256"], made["root"]):
            databases.append(Database(name, folder, entry["sha256"], _read_list(path)))
    return databases


def _read_list(path: Path) -> dict[str, int]:
    lines = (line.rpartition(" ") for line in path.read_text().splitlines())
    return {reference: int(label) for reference, _, label in lines}


def _is_whole(exp: Experiment, folder: Path, list_sha256: str, root: str) -> bool:
    """Whether `folder` is an LMDB of that list. pack.json came with the folder's rename: where it is, all is."""
    made = read_json(folder / "pack.json")
    if made is None or not (folder / "data.mdb").is_file():
        return False
    right = {"root": root, "list_sha256": list_sha256, "shape": list(shape(exp))}
    return right.items() <= made.items() and (exp.on_bad_image == "skip" or made["skipped"] == 0)


def _present(place: Split) -> dict[str, str]:
    """Name -> list_sha256 of every LMDB that is there, those of other experiments too."""
    root = place.folder / place.images
    found = sorted(root.glob("[AB]/[nv]*/pack.json"))
    return {str(path.parent.relative_to(root)): read_json(path)["list_sha256"] for path in found}


def _check_room(exp: Experiment, place: Split, halves: list[list[Database]]) -> None:
    """Raises UserError if the disk has not the room for the LMDBs and the spool of the larger half."""
    pixels = int(np.prod(shape(exp)))
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
