"""The paths of all files; no other module builds them. They are relative to the project's root, the cwd.

data/tiny-imagenet/fetch.json                        the data set is here, checked
data/tiny-imagenet/split0/split.json                 halves A and B, and lists: A/n0300.txt, A/val.txt
data/tiny-imagenet/split0/64x64/A/n0300/             an LMDB: data.mdb, pack.json, mean.binaryproto
models/tiny/A2B/n0300/S3T/seed0/                     a run: its name is its specification
results/tiny/runs.csv
"""

import hashlib
import os
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Literal

from tools.common.errors import UserError, shown
from tools.protocol.experiment import Experiment, Size
from tools.protocol.register import card

Half = Literal["A", "B"]
Direction = Literal["A2B", "B2A"]
HALVES: tuple[Half, Half] = ("A", "B")
MODELS, RESULTS = Path("models"), Path("results")
NET = "train_val.prototxt"
_LONGEST_NAME = 255  # bytes of a folder's name


def size_name(size: Size) -> str:
    """n0300, or nall for a whole half whose classes differ in size."""
    return "nall" if size == "all" else f"n{size:04d}"


def dataset_folder(exp: Experiment) -> Path:
    """`data/tiny-imagenet`; for the user's own folder, `data/folder-NAME-` and a checksum of its path."""
    folder = _dataset_folder(exp.dataset, exp.path, os.getcwd())
    if folder is None:
        raise exp.fault("dataset", f"{exp.dataset} without path", "path: names the folder that holds train/ and val/")
    return folder


@lru_cache(maxsize=64)
def _dataset_folder(dataset: str, path: str | None, cwd: str) -> Path | None:
    """Worked out once for all runs. None for a data set that needs a path and has none. Raises UserError."""
    if card(dataset).is_published:
        return Path("data") / dataset
    if path is None:
        return None
    place = Path(cwd, path).resolve()
    try:
        digest = hashlib.sha256(str(place).encode()).hexdigest()
    except UnicodeEncodeError:
        raise UserError(f"{shown(str(place))}: the path is not UTF-8; rename or move the folder") from None
    room = _LONGEST_NAME - len(f"{dataset}--{digest[:8]}")
    name = place.name.encode()[:room].decode(errors="ignore")
    return Path("data") / f"{dataset}-{name}-{digest[:8]}"


def lmdb_users(exp: Experiment) -> Path:
    """The lock that all hold, shared, who use LMDBs of the data set (tools/planning/removal.py)."""
    return dataset_folder(exp) / ".users"


@dataclass(frozen=True)
class Split:
    """The lists, LMDBs and means of one random division of a data set's classes."""

    folder: Path  # data/tiny-imagenet/split0
    images: str  # 64x64, 28x28-gray

    @property
    def marker(self) -> Path:
        """split.json: written last, so every list exists if it does."""
        return self.folder / "split.json"

    @property
    def packed(self) -> Path:
        """pack.json: which LMDBs there are; renamed into place last."""
        return self.folder / self.images / "pack.json"

    @property
    def means(self) -> Path:
        """mean.json: which training LMDBs have their mean.binaryproto; renamed into place last."""
        return self.folder / self.images / "mean.json"

    def train_list(self, half: Half, size: Size) -> Path:
        return self.folder / half / f"{size_name(size)}.txt"

    def val_list(self, half: Half) -> Path:
        return self.folder / half / "val.txt"

    def train_lmdb(self, half: Half, size: Size) -> Path:
        return self.folder / self.images / half / size_name(size)

    def val_lmdb(self, half: Half) -> Path:
        return self.folder / self.images / half / "val"

    def mean(self, half: Half, size: Size) -> Path:
        return self.train_lmdb(half, size) / "mean.binaryproto"

    def train_sets(self, sizes: list[Size]) -> list[str]:
        """A/n0500, A/n0400, ..., B/n0050: the names of training lists and LMDBs below the folders."""
        return [f"{half}/{size_name(size)}" for half in HALVES for size in sizes]

    def lists(self, sizes: list[Size]) -> list[str]:
        """The same and A/val, B/val."""
        return [*self.train_sets(sizes), *(f"{half}/val" for half in HALVES)]

    def list_file(self, name: str) -> Path:
        """The list A/n0500 or A/val."""
        return self.folder / f"{name}.txt"

    def lmdb(self, name: str) -> Path:
        """The LMDB of that list: a folder with data.mdb and pack.json, and mean.binaryproto if it is for training."""
        return self.folder / self.images / name


def split_of(exp: Experiment, seed: int) -> Split:
    """The split of one of `exp.seeds`: `split0`, or `split0-1` if the subsample has another seed."""
    split, subsample = split_seeds(exp, seed)
    name = f"split{split}" if split == subsample else f"split{split}-{subsample}"
    name += f"+classes={exp.classes}" if exp.classes else ""
    images = f"{exp.image_size}x{exp.image_size}" + ("-gray" if exp.gray else "")
    return Split(dataset_folder(exp) / (name if exp.nested else name + "+nested=false"), images)


def split_seeds(exp: Experiment, seed: int) -> tuple[int, int]:
    """(seed of the class halves, seed of the subsamples) of one of `exp.seeds`."""
    return (
        seed if exp.split_seed is None else exp.split_seed,
        seed if exp.subsample_seed is None else exp.subsample_seed,
    )


def image_shape(exp: Experiment) -> tuple[int, int, int]:
    """CHW of every Datum."""
    return (1 if exp.gray else 3, exp.image_size, exp.image_size)


def train_sizes(exp: Experiment) -> list[Size]:
    """Every size that needs lists, an LMDB and a mean: the full one, for the source nets, and the selected ones."""
    return list(dict.fromkeys([exp.full_size, *exp.sizes]))


@dataclass(frozen=True)
class Run:
    """One training: a folder, and the specification that its name is."""

    experiment: str
    direction: Direction  # A2B: source half A, target half B
    size: Size
    condition: str  # a name that Condition.of_run reads
    seed: int

    @property
    def key(self) -> str:
        """A2B/n0300/S3T/seed0"""
        return f"{self.direction}/{size_name(self.size)}/{self.condition}/seed{self.seed}"

    @property
    def folder(self) -> Path:
        return MODELS / self.experiment / self.key

    @property
    def manifest(self) -> Path:
        return self.folder / "manifest.json"

    @property
    def stale_manifest(self) -> Path:
        """Path of a manifest that was set aside: its inputs changed, or could not be checked when a sweep began."""
        return self.folder / "manifest.withdrawn.json"

    @property
    def previous_manifest(self) -> Path:
        """The manifest of a source net whose caffemodel was deleted: kept while it is trained again, to compare."""
        return self.folder / "manifest.before.json"

    @property
    def failed(self) -> Path:
        return self.folder / "failed.json"

    @property
    def lock(self) -> Path:
        """The lock that a process holds while it trains the run."""
        return self.folder / ".lock"

    @property
    def source(self) -> Half:
        """The half that the source net was trained on."""
        return "A" if self.direction == "A2B" else "B"

    @property
    def target(self) -> Half:
        """The half that the run trains on and is scored on."""
        return "B" if self.direction == "A2B" else "A"


def experiment_name(exp: Experiment, engine: str) -> str:
    """The experiment's name, with the engine in it if that is not BVLC Caffe."""
    return exp.name if engine == "caffe" else f"{exp.name}+engine={engine}"


def results_folder(exp: Experiment, engine: str) -> Path:
    return RESULTS / experiment_name(exp, engine)
