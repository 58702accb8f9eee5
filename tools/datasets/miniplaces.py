"""MiniPlaces2 as published: images/, and the lists train.txt and val.txt of `path label`, paths relative to images/."""

import os
from pathlib import Path

from tools.common.errors import UserError
from tools.datasets.base import DataSet, Scan


class MiniPlaces(DataSet):
    """A class id is the class folder below images/train/, which may nest: `a/abbey`, `c/church/outdoor`.

    The lists' label joins the images of val/, which have no class folders, to the classes of train/.
    """

    name = "miniplaces"
    layout = "images/train/, images/val/ and beside images/ the lists train.txt and val.txt"

    def __init__(self, folder: Path) -> None:
        super().__init__(Path(folder) / "images")
        self.folder = Path(folder)

    @classmethod
    def is_at(cls, folder: Path) -> bool:
        return (folder / "images" / "train").is_dir() and all((folder / f"{p}.txt").is_file() for p in ("train", "val"))

    def scan(self) -> Scan:
        there = _files(self.root)
        class_of: dict[str, str] = {}  # label -> class id
        train: dict[str, list[str]] = {}
        val: dict[str, list[str]] = {}
        missing = []
        for place, path, label in self._lines("train"):
            parts = path.split("/")
            if len(parts) < 3 or parts[0] != "train":
                raise UserError(f"{place}: found {path!r}; right is train/<class>/<image>, relative to {self.root}")
            wanted = "/".join(parts[1:-1])
            if class_of.setdefault(label, wanted) != wanted:
                raise UserError(
                    f"{place}: label {label} is {wanted} here, {class_of[label]} above; one class, one label"
                )
            (train.setdefault(wanted, []) if path in there else missing).append(path)
        labels = {name: label for label, name in class_of.items()}
        if len(labels) < len(class_of):
            raise UserError(f"{self.folder / 'train.txt'}: a class has two labels; one class, one label")
        for place, path, label in self._lines("val"):
            if label not in class_of:
                raise UserError(f"{place}: label {label} is in no line of train.txt")
            (val.setdefault(class_of[label], []) if path in there else missing).append(path)
        self._both(train, val)
        return Scan(sorted(train), _sorted(train), _sorted(val), sorted(missing))

    def _lines(self, part: str) -> list[tuple[str, str, str]]:
        """(place for messages, path, label) of every line of `train.txt` or `val.txt`."""
        file = self.folder / f"{part}.txt"
        found = []
        for number, line in enumerate(file.read_text().splitlines(), 1):
            path, _, label = line.strip().rpartition(" ")
            if not path or not label.isdigit():
                raise UserError(f"{file}:{number}: found {line!r}; right is `path label`, the label a whole number")
            found.append((f"{file}:{number}", path, label))
        if not found:
            raise UserError(f"{file}: empty; it should hold lines of `path label`")
        return found

    def _both(self, train: dict[str, list[str]], val: dict[str, list[str]]) -> None:
        alone = sorted(set(train) ^ set(val))
        if alone:
            part = "val" if alone[0] in train else "train"
            raise UserError(f"{self.root}: class {alone[0]} has no image of {part}.txt on disk; a class needs both")


def _files(root: Path) -> set[str]:
    """References of all files below train/ and val/."""
    found = set()
    for part in ("train", "val"):
        for where, _, files in os.walk(root / part, followlinks=True):
            inside = os.path.relpath(where, root)
            found.update(f"{inside}/{name}" for name in files)
    return found


def _sorted(classes: dict[str, list[str]]) -> dict[str, list[str]]:
    return {name: sorted(set(references)) for name, references in classes.items()}
