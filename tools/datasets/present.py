"""The images as they are now, to compare with those that a split was made of."""

import hashlib
import os
import time
from collections.abc import Iterable, Mapping
from functools import cached_property
from pathlib import Path
from typing import Any

from tools.common.errors import UserError
from tools.common.files import read_record
from tools.datasets import DataSet, Scan, open_dataset
from tools.datasets.checked import SETTLED, CheckedImages, file_states
from tools.datasets.walk import is_system
from tools.protocol.experiment import Experiment
from tools.protocol.layout import dataset_folder


def fingerprint(scan: Scan, drawn: list[str], digests: Mapping[str, str]) -> str:
    """The sha256 of all that a split depends on: the names of all classes, what is missing, and the name and bytes of
    every image of the classes that were `drawn`."""
    digest = hashlib.sha256("\n".join(scan.classes).encode(errors="surrogateescape"))
    for part, classes in (("train", scan.train), ("val", scan.val)):
        for name in sorted(drawn):
            digest.update(f"{part}\t{name}\n".encode(errors="surrogateescape"))
            digest.update(content_of(classes[name], digests).encode())
    digest.update("\n".join(scan.missing).encode(errors="surrogateescape"))
    return digest.hexdigest()


def content_of(references: Iterable[str], digests: Mapping[str, str]) -> str:
    """The sha256 of the names and bytes of some images, in this order."""
    lines = (f"{digests[name]} {name}\n" for name in references)
    return hashlib.sha256("".join(lines).encode(errors="surrogateescape")).hexdigest()


class PresentImages:
    """Looks at the images of `exp` at most once. Files whose size, times and inode are as before are not read again."""

    def __init__(self, exp: Experiment) -> None:
        self._exp = exp
        self._fingerprints: dict[tuple[str, ...], str] = {}  # by the classes that were drawn
        self._looks: list[tuple[list[str], list[str]]] = []  # the images that were looked at, and their states
        self._folders: dict[str, int] = {}  # above them -> the time of their last change
        self._since = 0  # ns: when the look began

    @cached_property
    def are_gone(self) -> bool:
        """Whether no image is left: the lists and LMDBs that were made of them may remain."""
        try:
            root = self._data.root
            return not any(map(_holds_files, _parts(root) or [root]))
        except UserError:  # where the named folder holds images, fetch and split tell what is wrong with it
            return self._exp.path is None or not any(map(_holds_files, _parts(Path(self._exp.path))))

    @cached_property
    def _data(self) -> DataSet:
        return open_dataset(self._exp)

    @cached_property
    def _scan(self) -> Scan:
        return self._data.scan()

    def _fingerprint(self, drawn: list[str]) -> str:
        """That of the present images. Raises UserError where they cannot be divided at all."""
        scan = self._scan
        drawn = [name for name in scan.classes if self._exp.classes is None or name in drawn]
        key = tuple(drawn)
        if key not in self._fingerprints:
            self._since = self._since or time.time_ns()
            references = scan.of_classes(drawn).references
            states = file_states(self._data, references)
            digests = CheckedImages(self._exp, self._data).digests(references, states)
            self._looks.append((references, states))
            self._folders |= _changes(_folders_above(self._data, references))
            self._fingerprints[key] = fingerprint(scan, drawn, digests)
        return self._fingerprints[key]

    def may_have_changed(self) -> bool:
        """Whether a file that was looked at, or a folder above one, has changed since, or shortly before that."""
        if not self._looks:
            return True
        times = list(self._folders.values())
        for references, states in self._looks:
            if file_states(self._data, references) != states:
                return True
            times += [int(state.split(" ")[2]) for state in states if state]
        return max(times) > self._since - SETTLED or _changes(self._folders) != self._folders

    def compared_with(self, split: Mapping[str, Any]) -> dict[str, object]:
        """The root and fingerprint to compare with those in split.json. Images that are gone count as unchanged,
        as long as the split was made of what the experiment names. A split of an earlier version has no fingerprint."""
        if self.are_gone:
            named = _named(self._exp)
            mine = any(_resolved(split["root"]).is_relative_to(place) for place in named)
            return {"root": split["root"] if mine else str(named[0]), "images": split.get("images")}
        root = split["root"]
        try:
            root = str(self._data.root)
            if "images" not in split or root != split["root"]:
                return {"root": root, "images": split.get("images")}
            return {"root": root, "images": self._fingerprint(split["classes"]["A"] + split["classes"]["B"])}
        except UserError as error:
            return {"root": root, "images": str(error)}


def _folders_above(data: DataSet, references: Iterable[str]) -> set[str]:
    """The folders of the images' files, and those between them and the root."""
    waiting, found = {file.rpartition("/")[0] for file in set(map(data.file, references))}, set[str]()
    while waiting:
        folder = waiting.pop()
        found.add(folder)
        above = os.path.dirname(folder)
        if above not in found and len(above) >= len(str(data.root)):
            waiting.add(above)
    return found


def _changes(folders: Iterable[str]) -> dict[str, int]:
    """Folder -> time of its last change, ns; 0 if it is gone."""
    return {folder: os.stat(folder).st_ctime_ns if os.path.isdir(folder) else 0 for folder in folders}


def _named(exp: Experiment) -> list[Path]:
    """Where the experiment's images are, or were: the folder that it names, and the one that fetch made."""
    folder = dataset_folder(exp)
    named = [_resolved(folder if exp.path is None else exp.path)]
    record = read_record(folder / "fetch.json", folder=str)
    if record is not None and (exp.path is None or record.get("path") == str(_resolved(exp.path))):
        named.append(_resolved(folder / record["folder"]))
    return named


def _resolved(path: Path | str) -> Path:
    return Path(path).resolve()


def _parts(root: Path) -> list[Path]:
    """The folders train/ and val/ of images, in `root` or in a folder of it."""
    folders = [root, *(place for place in root.glob("*") if place.is_dir())]
    return [part for folder in folders for part in (folder / "train", folder / "val") if part.is_dir()]


def _holds_files(root: Path) -> bool:
    """Whether a file is there, by links too."""
    seen = set()
    for folder, folders, files in os.walk(root, followlinks=True):
        if any(not is_system(name) for name in files):
            return True
        if (place := os.path.realpath(folder)) in seen:
            folders.clear()  # a link to a folder above it
        seen.add(place)
    return False
