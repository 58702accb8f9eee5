"""Small projects for the tests of split, pack and mean: experiment files, image folders, the command line."""

import contextlib
import hashlib
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import cv2
import numpy as np

from caffeformat import lmdb_file
from tools.pack import pack
from tools.protocol.experiment import Experiment, load
from tools.protocol.layout import Split
from tools.split import split

CHECKOUT = Path(__file__).resolve().parents[2]
_IMAGE = cv2.imencode(".png", np.full((2, 2, 3), 128, np.uint8))[1].tobytes()


def experiment(file: Path, overrides: str = "", **keys: object) -> Experiment:
    """Writes the experiment file `file`, one key a line, and loads it."""
    values = {"image_size": 64, "sizes": [1], "model": "mini", "solver": "mini"} | keys
    values.setdefault("test_batch_size", 1)  # last, so that the lines of the others stay
    file.write_text(
        "".join(f"{key}: {str(value).lower() if value in (True, False) else value}\n" for key, value in values.items())
    )
    return load(file, overrides)


def folder_experiment(root: Path, overrides: str = "", **keys: object) -> Experiment:
    """Writes exp.yaml for the user's own images in `root`, and loads it."""
    return experiment(Path("exp.yaml"), overrides, dataset="folder", path=root.resolve(), **keys)


def image_folder(root: Path, train: dict[str, int], val: int = 1) -> Path:
    """A data set `folder`: train[name] images of class `name` and `val` validation images of each."""
    for name, count in train.items():
        for part, images in (("train", count), ("val", val)):
            (root / part / name).mkdir(parents=True)
            for i in range(images):
                (root / part / name / f"{i}.png").write_bytes(_IMAGE)
    return root


def tiny(sample: Path, overrides: str = "", **keys: object) -> Experiment:
    """The sample of Tiny-ImageNet in three sizes."""
    given = {"dataset": "tiny-imagenet", "path": sample, "full_size": 60, "sizes": [60, 20, 5]}
    return experiment(Path("exp.yaml"), overrides, **given | keys)


def packed(exp: Experiment, seed: int = 0) -> Experiment:
    """`exp`, split and packed."""
    split(exp, seed)
    assert pack(exp, seed)
    return exp


def as_of_an_earlier_version(place: Split) -> None:
    """Removes from split.json what tells the present images from those that were split: earlier versions had none."""
    record = json.loads(place.marker.read_text())
    del record["images"]
    for entry in record["lists"].values():
        del entry["content"]
    place.marker.write_text(json.dumps(record))


def records(folder: Path) -> list[tuple[bytes, bytes]]:
    """(key, Datum) of every entry of an LMDB."""
    with lmdb_file.open_reader(folder) as reader:
        return [(bytes(key), bytes(value)) for key, value in reader]


def digests(place: Split) -> dict[str, str]:
    """The sha256 of every record of every LMDB, by the LMDB's name."""
    digests = {}
    for file in sorted((place.folder / place.images).glob("*/*/data.mdb")):
        digest = hashlib.sha256()
        for key, value in records(file.parent):
            digest.update(key + value)
        digests[f"{file.parent.parent.name}/{file.parent.name}"] = digest.hexdigest()
    return digests


def read_list(path: Path) -> list[tuple[str, int]]:
    """(reference, label) of every line."""
    return [(line.rpartition(" ")[0], int(line.rpartition(" ")[2])) for line in path.read_text().splitlines()]


def verb(name: str, file: Path, settings: str = "", **options: object) -> subprocess.Popen:
    """`python -m tools NAME FILE`, started in the cwd."""
    command = [sys.executable, "-m", "tools", name, str(file), "--set", settings]
    environment = {**os.environ, "PYTHONPATH": str(CHECKOUT)}
    pipe = subprocess.PIPE
    return subprocess.Popen(command, env=environment, stdout=pipe, stderr=pipe, text=True, **options)


@contextlib.contextmanager
def inside(folder: Path) -> Iterator[Path]:
    """Creates `folder` and makes it the current folder for the block."""
    folder.mkdir(parents=True, exist_ok=True)
    before = Path.cwd()
    os.chdir(folder)
    try:
        yield folder
    finally:
        os.chdir(before)
