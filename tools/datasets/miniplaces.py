"""MiniPlaces2 as published: images/, and the lists train.txt and val.txt: lines `path label`, relative to images/."""

import os
import re
from pathlib import Path

from tools.common.errors import UserError
from tools.datasets.base import DataSet, Scan
from tools.datasets.lists import read_lines
from tools.datasets.walk import is_folder, is_system, note


class MiniPlaces(DataSet):
    """A class id is the class folder below images/train/, which may be nested: `a/abbey`, `c/church/outdoor`.

    The images of val/ have no class folders: the labels of the lists assign them to the classes of train/.
    """

    def __init__(self, folder: Path) -> None:
        super().__init__(Path(folder) / "images")
        self.folder = Path(folder)

    @classmethod
    def is_at(cls, folder: Path) -> bool:
        return (folder / "images" / "train").is_dir() and all((folder / f"{p}.txt").is_file() for p in ("train", "val"))

    def scan(self) -> Scan:
        on_disk = _files(self.root)
        class_of: dict[str, str] = {}  # label -> class id
        train: dict[str, list[str]] = {}
        val: dict[str, list[str]] = {}
        missing: dict[str, str] = {}
        for place, path, label in self._lines("train"):
            parts = path.split("/")
            if len(parts) < 3 or parts[0] != "train":
                raise UserError(f"{place}: found {path!r}; right is train/<class>/<image>, relative to {self.root}")
            class_id = "/".join(parts[1:-1])
            if class_of.setdefault(label, class_id) != class_id:
                raise UserError(
                    f"{place}: label {label} is {class_id} here, {class_of[label]} above; one class, one label"
                )
            if path in on_disk:
                train.setdefault(class_id, []).append(path)
            else:
                missing[path] = class_id
        label_of: dict[str, str] = {}  # image of val -> label
        labels = {name: label for label, name in class_of.items()}
        if len(labels) < len(class_of):
            raise UserError(f"{self.folder / 'train.txt'}: a class has two labels; one class, one label")
        for place, path, label in self._lines("val"):
            if label not in class_of:
                raise UserError(f"{place}: label {label} is in no line of train.txt")
            if label_of.setdefault(path, label) != label:
                raise UserError(f"{place}: {path} has label {label} here, {label_of[path]} above; keep one line")
            if not path.startswith("val/"):
                raise UserError(f"{place}: found {path!r}; right is val/<image>, relative to {self.root}")
            if path in on_disk:
                val.setdefault(class_of[label], []).append(path)
            else:
                missing[path] = class_of[label]
        self._require_same_classes(train, val)
        listed = {path for part in (train, val) for paths in part.values() for path in paths}
        unlisted = sorted(name for name in on_disk - listed if not is_system(name.rpartition("/")[2]))
        notes = note("left out, files of images/ that no list names", unlisted)
        notes += note("left out, classes without an image on disk", sorted(set(class_of.values()) - train.keys()))
        return Scan(sorted(train), _sorted(train), _sorted(val), dict(sorted(missing.items())), notes)

    def _lines(self, part: str) -> list[tuple[str, str, str]]:
        """For every line of `train.txt` or `val.txt`: its place (for messages), path, label."""
        file = self.folder / f"{part}.txt"
        lines = []
        for number, line in read_lines(file):
            path, _, label = line.strip().rpartition(" ")
            if not path or not re.fullmatch("[0-9]+", label):
                raise UserError(f"{file}:{number}: found {line!r}; right is `path label`, the label a whole number")
            lines.append((f"{file}:{number}", path, label))
        if not lines:
            raise UserError(f"{file}: empty; it should hold lines of `path label`")
        return lines

    def _require_same_classes(self, train: dict[str, list[str]], val: dict[str, list[str]]) -> None:
        alone = sorted(set(train) ^ set(val))
        if alone:
            part = "val" if alone[0] in train else "train"
            raise UserError(f"{self.root}: class {alone[0]} has no image of {part}.txt on disk; a class needs both")


def _files(root: Path) -> set[str]:
    """References of all files below train/ and val/. A folder to which several links lead is walked under each name,
    but a link back to a folder that it is in is not followed: that would never end."""
    references: set[str] = set()
    for part in ("train", "val"):
        waiting: list[tuple[str, tuple[str, ...]]] = [(part, ())]
        while waiting:
            inside, above = waiting.pop()
            here = os.path.realpath(root / inside)
            if here in above or not os.path.isdir(here):
                continue
            for entry in os.scandir(root / inside):
                if not is_folder(entry):
                    references.add(f"{inside}/{entry.name}")
                elif not is_system(entry.name):
                    waiting.append((f"{inside}/{entry.name}", (*above, here)))
    return references


def _sorted(classes: dict[str, list[str]]) -> dict[str, list[str]]:
    return {name: sorted(set(references)) for name, references in classes.items()}
