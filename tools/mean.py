"""The mean image of every training LMDB, as Caffe's compute_image_mean computes it.

    python -m tools mean experiments/demo.yaml

writes mean.binaryproto next to data.mdb in each training LMDB's folder (docs/protocol.md, "Data", 5).
"""

import hashlib
from pathlib import Path

import numpy as np

from caffeformat import FormatError, blobs, datum, lmdb_file
from tools import cli
from tools.common.errors import UserError
from tools.common.files import lock, read_record, sha256, write_atomic, write_record
from tools.common.progress import progress
from tools.common.workers import parallel_map
from tools.datasets.present import PresentImages
from tools.planning.stages import mean_file, mean_stage, present_split
from tools.protocol.experiment import Experiment
from tools.protocol.layout import Split, split_of, train_sizes


def mean(exp: Experiment, seed: int) -> bool:
    """Writes the missing means that `exp` needs for one of its seeds; returns False if none was missing.

    Raises UserError if an LMDB is absent, or the images are not those of the split.
    """
    place = split_of(exp, seed)
    images = PresentImages(exp)
    if mean_stage(exp, seed, images).is_complete:  # asked before the lock: finished means may be on a read-only disk
        return False
    with lock(place.folder / ".lock"):
        stage = mean_stage(exp, seed, images)
        if stage.is_complete:
            return False
        present_split(exp, seed, images)
        recorded = (read_record(place.means, means=dict) or {"means": {}})["means"]
        digests = {name: digest for name, digest in recorded.items() if _is_unchanged(mean_file(place, name), digest)}
        missing = [name for name in place.train_sets(train_sizes(exp)) if name not in digests]
        entries = {name: _entries(exp, place, name) for name in missing}
        with progress("mean", sum(entries.values()), "images") as update:
            for name, digest in parallel_map(lambda name: (name, _write(place, name)), missing):
                digests[name] = digest
                update(entries[name])
        write_record(place.means, {"means": dict(sorted(digests.items()))})
        return True


def mean_image(folder: Path) -> np.ndarray:
    """The mean of the images of an LMDB: float32, CHW, BGR; summed as integers, so that no order changes it."""
    total: np.ndarray | None = None
    with lmdb_file.open_reader(folder) as reader:
        for key, value in reader:
            try:
                image, _ = datum.decode(value)
            except FormatError as error:
                raise UserError(f"{folder}: {key.decode(errors='replace')}: {error}; pack it again") from None
            if total is None:
                total = np.zeros(image.shape, np.uint64)
            if image.shape != total.shape:
                raise UserError(f"{folder}: images of {image.shape} and of {total.shape}; pack it again")
            total += image
        count = len(reader)
    if total is None:
        raise UserError(f"{folder}: no image in it; pack it again")
    return (total / count).astype(np.float32)


def _write(place: Split, name: str) -> str:
    content = blobs.mean_bytes(mean_image(place.lmdb(name)))
    write_atomic(mean_file(place, name), content)
    return hashlib.sha256(content).hexdigest()


def _is_unchanged(path: Path, digest: str) -> bool:
    return path.is_file() and sha256(path) == digest


def _entries(exp: Experiment, place: Split, name: str) -> int:
    record = read_record(place.lmdb(name) / "pack.json", entries=int)
    if record is None:
        raise UserError(f"{place.lmdb(name)}: no LMDB yet; run `python -m tools pack {exp.file}` first")
    return int(record["entries"])


def main(argv: list[str]) -> None:
    exp = cli.experiment("mean", __doc__, argv)
    for seed in exp.seeds:
        place = split_of(exp, seed)
        written = mean(exp, seed)
        count = len(place.train_sets(train_sizes(exp)))
        print(f"{place.folder / place.images}: {count} mean images: {'written' if written else 'complete already'}")
