"""Finds the listed images that cannot be read, remembers them, and refuses them."""

import hashlib
import os
from pathlib import Path

from tools.common.errors import UserError
from tools.common.files import read_json, write_atomic, write_json
from tools.common.progress import progress
from tools.common.workers import parallel_map
from tools.datasets import BadImage, DataSet
from tools.protocol.experiment import Experiment
from tools.protocol.layout import dataset_folder

_CHUNK = 256  # images that a worker checks at a time
_MAX_SHOWN = 20  # images in an error message


def find_unreadable(exp: Experiment, data: DataSet, references: list[str]) -> dict[str, str]:
    """Reference -> reason, sorted, of every image that cannot be read.

    Reads all images once and keeps the result in `data/<dataset>/checked.json`. It is valid as long as no file changes
    its size or time, so splits with other seeds need not read the images again.
    """
    record = dataset_folder(exp) / "checked.json"
    state = _state(data.root, references)
    checked = read_json(record)
    if checked is not None and checked.get("state") == state:
        unreadable: dict[str, str] = checked["unreadable"]
        return unreadable
    bad = _read_all(data, references)
    write_json(record, {"root": str(data.root), "images": len(references), "state": state, "unreadable": bad})
    return bad


def bad_images_error(exp: Experiment, data: DataSet, bad: dict[str, str]) -> UserError:
    """The error for `on_bad_image: error`. It shows the first of `bad` (reference -> reason) and a file lists all."""
    full_list = dataset_folder(exp) / "bad-images.txt"
    lines = [f"{data.root / reference}: {reason}" for reference, reason in sorted(bad.items())]
    write_atomic(full_list, "\n".join(lines) + "\n")
    shown = "".join(f"\n  {line}" for line in lines[:_MAX_SHOWN])
    rest = f"\n  ... and {len(lines) - _MAX_SHOWN} more" if len(lines) > _MAX_SHOWN else ""
    count = "1 image is" if len(bad) == 1 else f"{len(bad)} images are"
    return exp.fault(
        "on_bad_image",
        f"{count} missing or cannot be read:{shown}{rest}\nall of them are listed in {full_list}",
        "replace these files (fetch the data set again), or set on_bad_image=skip to leave them out and count them",
    )


def _state(root: Path, references: list[str]) -> str:
    """The sha256 of the name, size and time of every file. An image inside a larger file counts by its name only."""
    digest = hashlib.sha256(str(root.resolve()).encode())
    for reference in references:
        try:
            stat = os.stat(f"{root}/{reference}")
            digest.update(f"{reference} {stat.st_size} {stat.st_mtime_ns}\n".encode())
        except OSError:
            digest.update(f"{reference}\n".encode())
    return digest.hexdigest()


def _read_all(data: DataSet, references: list[str]) -> dict[str, str]:
    def check(start: int) -> tuple[int, dict[str, str]]:
        chunk = references[start : start + _CHUNK]
        return len(chunk), _read(data, chunk)

    bad: dict[str, str] = {}
    with progress("check", len(references), "images") as update:
        for count, bad_in_chunk in parallel_map(check, range(0, len(references), _CHUNK)):
            bad |= bad_in_chunk
            update(count)
    return dict(sorted(bad.items()))


def _read(data: DataSet, references: list[str]) -> dict[str, str]:
    bad = {}
    for reference in references:
        try:
            data.read(reference)
        except BadImage as error:
            bad[reference] = str(error)
    return bad
