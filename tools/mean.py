"""The mean image of every training LMDB, as Caffe's compute_image_mean computes it.

    python -m tools mean experiments/tiny.yaml

writes mean.binaryproto beside data.mdb in each training LMDB's folder (protocol.md, Data 5).
"""

import hashlib
from pathlib import Path

import numpy as np

from caffeformat import blobs, datum, lmdb_file
from tools import cli
from tools.common.errors import UserError
from tools.common.files import lock, read_json, sha256, write_atomic, write_json
from tools.common.progress import progress
from tools.common.workers import parallel_map
from tools.protocol.experiment import Experiment
from tools.protocol.layout import Split, split_of, train_sizes


def mean(exp: Experiment, seed: int) -> bool:
    """Writes the means that `exp` needs for one of its seeds and that are not there; returns False if all were.

    Raises UserError where an LMDB is absent.
    """
    place = split_of(exp, seed)
    with lock(place.folder / ".lock"):
        if is_complete(exp, seed):
            return False
        known = (read_json(place.means) or {"means": {}})["means"]
        sums = {name: digest for name, digest in known.items() if _is_mean(place, name, digest)}
        missing = [name for name in _names(exp, place) if name not in sums]
        entries = {name: _entries(exp, place, name) for name in missing}
        with progress("mean", sum(entries.values()), "images") as update:
            for name, digest in parallel_map(lambda name: (name, _write(_lmdb(place, name))), missing):
                sums[name] = digest
                update(entries[name])
        write_json(place.means, {"means": dict(sorted(sums.items()))})
        return True


def is_complete(exp: Experiment, seed: int) -> bool:
    """Whether the graph's mark names the mean of every training LMDB that `exp` needs, and each is there, unchanged."""
    place = split_of(exp, seed)
    made = read_json(place.means)
    return made is not None and all(_is_mean(place, name, made["means"].get(name)) for name in _names(exp, place))


def mean_image(folder: Path) -> np.ndarray:
    """The mean of the images of an LMDB: float32, CHW, BGR; summed as integers, so that no order changes it."""
    total: np.ndarray | None = None
    with lmdb_file.open_reader(folder) as reader:
        for _, value in reader:
            image, _ = datum.decode(value)
            if total is None:
                total = np.zeros(image.shape, np.uint64)
            if image.shape != total.shape:
                raise UserError(f"{folder}: images of {image.shape} and of {total.shape}; pack it again")
            total += image
        count = len(reader)
    if total is None:
        raise UserError(f"{folder}: no image in it; pack it again")
    return (total / count).astype(np.float32)


def _write(folder: Path) -> str:
    content = blobs.mean_bytes(mean_image(folder))
    write_atomic(folder / "mean.binaryproto", content)
    return hashlib.sha256(content).hexdigest()


def _names(exp: Experiment, place: Split) -> list[str]:
    """A/n0500, ..."""
    paths = [place.train_list(half, size) for half in "AB" for size in train_sizes(exp)]
    return [str(path.relative_to(place.folder).with_suffix("")) for path in paths]


def _lmdb(place: Split, name: str) -> Path:
    return place.folder / place.images / name


def _is_mean(place: Split, name: str, digest: str | None) -> bool:
    """The file lies in its LMDB's folder: an LMDB that is packed again takes it away."""
    path = _lmdb(place, name) / "mean.binaryproto"
    return path.is_file() and sha256(path) == digest


def _entries(exp: Experiment, place: Split, name: str) -> int:
    made = read_json(_lmdb(place, name) / "pack.json")
    if made is None:
        raise UserError(f"{_lmdb(place, name)}: no LMDB yet; run `python -m tools pack {exp.file}` first")
    return made["entries"]


def main(argv: list[str]) -> None:
    exp = cli.experiment("mean", __doc__, argv)
    for seed in exp.seeds:
        place = split_of(exp, seed)
        done = mean(exp, seed)
        count = len(_names(exp, place))
        print(f"{place.folder / place.images}: {count} mean images: {'written' if done else 'complete already'}")
