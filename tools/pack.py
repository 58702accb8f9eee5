"""Decode the images into LMDBs of Caffe's Datums, each image once for all sizes.

    python -m tools pack experiments/demo.yaml

turns every list of a split into an LMDB, data/tiny-imagenet/split0/64x64/A/n0500 and so on: CHW, BGR, uint8, resized
(bilinear) as Caffe's convert_imageset does, with its keys, shuffled with a seed (docs/protocol.md, "Data", 4).
LMDBs that `keep_lmdbs: none` removed are made again.

This file decides which LMDBs are to be written, and checks the disk; tools/datasets/packing.py writes them.
"""

import contextlib
import math
import shutil
from collections.abc import Container, Iterator
from pathlib import Path

from tools import cli
from tools.common.errors import UserError
from tools.common.files import load_json, lock, remove_leftovers, sha256, write_record
from tools.common.lmdb_removal import is_removed
from tools.datasets import open_dataset
from tools.datasets.packing import Database, HalfPacker
from tools.datasets.present import PresentImages
from tools.planning.stages import lmdb_stage, pack_stage, present_split
from tools.protocol.experiment import Experiment, load
from tools.protocol.layout import HALVES, Split, image_shape, split_of, split_seeds, train_sizes

_PAGE = 4096  # bytes of an LMDB page, at the least


def pack(exp: Experiment, seed: int, needed: Container[Path] | None = None) -> bool:
    """Writes every missing LMDB that `exp` needs for one of its seeds; returns False if none was missing.

    Of those that `keep_lmdbs` removed it writes the folders in `needed`, all if that is None, and all if a list has
    changed.
    Raises UserError for: lists that are absent or changed, images that cannot be read (unless `on_bad_image: skip`), a
    disk without room.
    """
    place = split_of(exp, seed)
    images = PresentImages(exp)
    if _is_complete(exp, seed, images, needed):  # asked before the lock: finished LMDBs may be on a read-only disk
        return False
    with lock(place.folder / ".lock"):
        if _is_complete(exp, seed, images, needed):
            return False
        remove_leftovers(place.folder)
        missing = _missing(exp, seed, images, needed)
        data = open_dataset(exp)
        halves = [[database for database in missing if database.name.startswith(half)] for half in HALVES]
        _check_room(exp, place, halves)
        for databases in filter(None, halves):
            with _system_errors(place):
                HalfPacker(exp, data, databases, split_seeds(exp, seed)[1]).pack(place.folder / place.images)
        if images.may_have_changed():  # while they were packed
            present_split(exp, seed)
        write_record(place.packed, {"lmdbs": _present(place)})
        return True


def _is_complete(exp: Experiment, seed: int, images: PresentImages, needed: Container[Path] | None) -> bool:
    place = split_of(exp, seed)
    folders = map(place.lmdb, place.lists(train_sizes(exp)))
    return pack_stage(exp, seed, images).is_complete and not any(_is_wanted(folder, needed) for folder in folders)


def _is_wanted(folder: Path, needed: Container[Path] | None) -> bool:
    """Whether an LMDB was removed, and is to be made again."""
    return is_removed(folder) and (needed is None or folder in needed)


def _missing(exp: Experiment, seed: int, images: PresentImages, needed: Container[Path] | None) -> list[Database]:
    """The LMDBs that `exp` needs and that are not there, or are out of date."""
    place, split = split_of(exp, seed), present_split(exp, seed, images)
    again = f"run `python -m tools split {exp.file}` first"
    databases = []
    if any(lmdb_stage(exp, place, name).is_outdated for name in place.lists(train_sizes(exp))):
        needed = None  # more runs may be trained again than the plan knew
    for name in place.lists(train_sizes(exp)):
        path = place.list_file(name)
        entry = split["lists"].get(f"{name}.txt")
        if entry is None or not path.is_file():
            raise UserError(f"{path}: no such list; {again}")
        if sha256(path) != entry["sha256"]:
            raise UserError(f"{path}: changed since the split was made; {again}")
        if not lmdb_stage(exp, place, name).is_complete or _is_wanted(place.lmdb(name), needed):
            labels = _read_list(path)
            databases.append(Database(name, place.lmdb(name), entry["sha256"], labels, entry.get("content")))
    return databases


def _read_list(path: Path) -> dict[str, int]:
    lines = (line.rpartition(" ") for line in path.read_text().splitlines())
    return {reference: int(label) for reference, _, label in lines}


def _present(place: Split) -> dict[str, str]:
    """Name -> list_sha256 of every LMDB that is there, those of other experiments too."""
    root = place.folder / place.images
    markers = sorted(root.glob("[AB]/[nv]*/pack.json"))
    return {str(path.parent.relative_to(root)): load_json(path)["list_sha256"] for path in markers}


def _check_room(exp: Experiment, place: Split, halves: list[list[Database]]) -> None:
    """Raises UserError if the disk has no room for the LMDBs and the spool of the larger half."""
    pixels = math.prod(image_shape(exp))
    databases = sum(_lmdb_bytes(pixels, len(d.labels)) for half in halves for d in half)
    spool = pixels * max(len({reference for d in half for reference in d.labels}) for half in halves)
    free = shutil.disk_usage(place.folder).free
    if databases + spool > free:
        count = sum(map(len, halves))
        raise UserError(
            f"{place.folder}: {count} LMDBs need {_size(databases)} and packing {_size(spool)} more for a while, but "
            f"{_size(free)} are free; make room, or select fewer sizes"
        )


def _size(count: int) -> str:
    return f"{count / 1e9:.1f} GB" if count >= 1e9 else f"{count / 1e6:.1f} MB"


def _lmdb_bytes(pixels: int, entries: int) -> int:
    """The bytes of an LMDB of `entries` Datums of this size. A record of more than half a page gets whole pages."""
    record = pixels + 16 + 40  # the Datum's fields and the page's header; the key
    whole = -(-(pixels + 32) // _PAGE) * _PAGE + 80  # and a key with a page number in a leaf
    each = whole if record > _PAGE // 2 else _PAGE / (_PAGE // record)
    return int(entries * each * 1.01) + 1_000_000


@contextlib.contextmanager
def _system_errors(place: Split) -> Iterator[None]:
    """Turns errors of a full or failing disk into a UserError that names the folder."""
    try:
        yield
    except OSError as error:
        raise UserError(f"{place.folder}: cannot be written ({error.strerror}); mend that and pack again") from None


def main(argv: list[str]) -> None:
    parser = cli.parser("pack", __doc__)
    parser.add_argument("--needed", action="store_true", help="leave out what keep_lmdbs removed and no run needs now")
    arguments = parser.parse_args(argv)
    exp = load(arguments.experiment, arguments.set)
    needed = _needed(exp) if arguments.needed else None
    for seed in exp.seeds:
        place = split_of(exp, seed)
        written = pack(exp, seed, needed)
        print(f"{place.folder / place.images}: {_summary(exp, place)}: {'written' if written else 'complete already'}")


def _needed(exp: Experiment) -> Container[Path]:
    """The LMDBs that were removed, and that a run to do reads."""
    from tools.planning.state import make_plan  # nets and runs, which nothing else needs here
    from tools.training.engine import engine_of

    return make_plan(exp, engine_of(exp)).removed


def _summary(exp: Experiment, place: Split) -> str:
    records = [lmdb_stage(exp, place, name).record or {} for name in place.lists(train_sizes(exp))]
    skipped = sum(record["skipped"] for record in records)
    text = f"{len(records)} LMDBs, {sum(record['entries'] for record in records):,} entries"
    return text + (f", {skipped} unreadable images skipped" if skipped else "")
