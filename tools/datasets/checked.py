"""Reads every image once, remembers its checksum and whether it can be decoded, and refuses those that cannot.

`data/<dataset>/checked.json` keeps, for each image, the state of its file (size, times, inode), the sha256 of its
bytes, and why it cannot be decoded. An image is read again only if its file has another state.
"""

import contextlib
import os
import time
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

from tools.common.errors import UserError, shown
from tools.common.files import read_json, write_atomic, write_json
from tools.datasets.base import DataSet
from tools.datasets.image_file import BadImage
from tools.protocol.experiment import Experiment
from tools.protocol.layout import dataset_folder

_CHUNK = 256  # images that a worker checks at a time
_MAX_SHOWN = 20  # images in an error message
SETTLED = 2_000_000_000  # ns: a file that changed less than this ago could change again without another time


Result = TypeVar("Result")


class Checked(NamedTuple):
    """What is known of an image."""

    state: str  # of its file when it was read; "" if that may not be relied on
    digest: str  # sha256; "" if the file cannot be read
    fault: str | None  # why it cannot be decoded; None if it can


class CheckedImages:
    """The images of `data` that were checked before, in checked.json, and the others on request."""

    def __init__(self, exp: Experiment, data: DataSet) -> None:
        self._file, self._data = dataset_folder(exp) / "checked.json", data
        self._known = _load(self._file, data.root)

    def digests(self, references: list[str], states: list[str]) -> dict[str, str]:
        """The sha256 of every image, "" for one that cannot be read. It reads those whose file has another state.

        states: those of the images now, as `file_states` has them.
        """
        found, again = self._sure(references, states)
        fresh = dict(_in_chunks("read", list(again), lambda name: (name, _digest(self._data, name))))
        same = [name for name in again if name in self._known and self._known[name].digest == fresh[name] != ""]
        for name in same:
            self._known[name] = self._known[name]._replace(state=_settled(again[name]))
        if same:
            with contextlib.suppress(OSError):  # a disk that cannot be written: they are read again the next time
                self._save()
        return found | fresh

    def check(self, references: list[str], whole: list[str]) -> dict[str, Checked]:
        """The same, and whether every image can be decoded. checked.json keeps what is known of the images `whole`."""
        _, again = self._sure(references, file_states(self._data, references))
        for name, digest, fault in _in_chunks("check", list(again), self._read):
            self._known[name] = Checked(_settled(again[name]), digest, fault)
        lost = self._known.keys() - set(whole)
        for name in lost:
            del self._known[name]
        if again or lost:
            self._save()
        return {name: self._known[name] for name in references}

    def _read(self, name: str) -> tuple[str, str, str | None]:
        digest = _digest(self._data, name)
        known = self._known.get(name)
        is_known = known is not None and known.digest == digest != ""
        return name, digest, known.fault if known is not None and is_known else _fault(self._data, name)

    def _sure(self, references: list[str], states: list[str]) -> tuple[dict[str, str], dict[str, str]]:
        """The sha256 of the images that are as they were, and the state of those that must be read: new ones, those of
        another state, and those that nobody could read."""
        digests, again, known_of = {}, {}, self._known.get
        for name, state in zip(references, states, strict=True):
            known = known_of(name)
            if known is not None and known.state == state and state and known.digest:
                digests[name] = known.digest
            else:
                again[name] = state
        return digests, again

    def _save(self) -> None:
        files = {name: [known.state, known.digest] for name, known in self._known.items()}
        bad = {name: known.fault for name, known in sorted(self._known.items()) if known.fault is not None}
        root = str(self._data.root.resolve())
        write_json(self._file, {"root": root, "images": len(files), "files": files, "unreadable": bad})


def file_states(data: DataSet, references: Iterable[str]) -> list[str]:
    """Size, times and inode of the file of each image, in this order; "" if it is not there.

    The time of the last change of an inode cannot be set back by hand. A file may hold many images in a row.
    """
    states, last, state = [], "", ""
    for name in references:
        if (file := data.file(name)) != last:
            last, state = file, _file_state(file)
        states.append(state)
    return states


def _file_state(file: str) -> str:
    try:
        stat = os.stat(file)
    except OSError:
        return ""
    return f"{stat.st_size} {stat.st_mtime_ns} {stat.st_ctime_ns} {stat.st_ino}"


def bad_images_error(exp: Experiment, data: DataSet, bad: dict[str, str]) -> UserError:
    """The error for `on_bad_image: error`. It shows the first of `bad` (reference -> reason) and a file lists all."""
    full_list = dataset_folder(exp) / "bad-images.txt"
    lines = [f"{shown(str(data.root / reference))}: {reason}" for reference, reason in sorted(bad.items())]
    write_atomic(full_list, "\n".join(lines) + "\n")
    first = "".join(f"\n  {line}" for line in lines[:_MAX_SHOWN])
    rest = f"\n  ... and {len(lines) - _MAX_SHOWN} more" if len(lines) > _MAX_SHOWN else ""
    count = "1 image is" if len(bad) == 1 else f"{len(bad)} images are"
    return exp.fault(
        "on_bad_image",
        f"{count} missing or cannot be read:{first}{rest}\nall of them are listed in {full_list}",
        "replace these files (fetch the data set again), or set on_bad_image=skip to leave them out and count them",
    )


def _load(file: Path, root: Path) -> dict[str, Checked]:
    """What checked.json has on the images below `root`; nothing if it is damaged or of an earlier version."""
    record: Any = read_json(file)
    try:
        if record["root"] != str(root.resolve()):
            return {}
        bad = record["unreadable"]
        return {name: Checked(state, digest, bad.get(name)) for name, (state, digest) in record["files"].items()}
    except (KeyError, TypeError, ValueError, AttributeError):
        return {}


def _settled(state: str) -> str:
    """`state`, or "" if the file changed so recently that a further change could go unnoticed."""
    changed = int(state.split()[2]) if state else 0
    return state if changed < time.time_ns() - SETTLED else ""


def _in_chunks(label: str, names: list[str], function: Callable[[str], Result]) -> Iterator[Result]:
    """`function` of every name, on all cores."""
    if not names:
        return
    from tools.common.progress import progress
    from tools.common.workers import parallel_map  # and OpenCV

    def of_chunk(start: int) -> list[Result]:
        return [function(name) for name in names[start : start + _CHUNK]]

    with progress(label, len(names), "images") as update:
        for results in parallel_map(of_chunk, range(0, len(names), _CHUNK)):
            yield from results
            update(len(results))


def _digest(data: DataSet, reference: str) -> str:
    try:
        return data.digest(reference)
    except BadImage:
        return ""


def _fault(data: DataSet, reference: str) -> str | None:
    try:
        data.read(reference)
    except BadImage as error:
        return str(error)
    return None
