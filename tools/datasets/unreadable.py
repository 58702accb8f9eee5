"""Images that a list names but nobody can read: found, remembered and refused."""

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

_CHUNK = 256  # images a worker checks at a time
_SHOWN = 20  # how many an error message lists


def unreadable(exp: Experiment, data: DataSet, references: list[str]) -> dict[str, str]:
    """Reference -> reason, sorted, of every image that cannot be read.

    Reads all of them once; `data/<dataset>/checked.json` keeps what was found for as long as no file changes its size
    or time, so that the next split seed need not read them again.
    """
    memory = dataset_folder(exp) / "checked.json"
    state = _state(data.root, references)
    known = read_json(memory)
    if known is not None and known.get("state") == state:
        return known["unreadable"]
    bad = _read_all(data, references)
    write_json(memory, {"root": str(data.root), "images": len(references), "state": state, "unreadable": bad})
    return bad


def refuse(exp: Experiment, data: DataSet, bad: dict[str, str]) -> UserError:
    """The error for `on_bad_image: error`: the first of `bad` (reference -> reason), and a file with all of them."""
    everything = dataset_folder(exp) / "bad-images.txt"
    lines = [f"{data.root / reference}: {reason}" for reference, reason in sorted(bad.items())]
    write_atomic(everything, "\n".join(lines) + "\n")
    shown = "".join(f"\n  {line}" for line in lines[:_SHOWN])
    rest = f"\n  ... and {len(lines) - _SHOWN} more" if len(lines) > _SHOWN else ""
    count = "1 image is" if len(bad) == 1 else f"{len(bad)} images are"
    return exp.fault(
        "on_bad_image",
        f"{count} missing or cannot be read:{shown}{rest}\nall of them are listed in {everything}",
        "replace these files (fetch the data set again), or set on_bad_image=skip to leave them out and count them",
    )


def _state(root: Path, references: list[str]) -> str:
    """sha256 of every file's name, size and time. An image inside a larger file has no size of its own."""
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
        for count, found in parallel_map(check, range(0, len(references), _CHUNK)):
            bad |= found
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
