"""Any folder of images: train/<class>/*, val/<class>/*."""

import os
import unicodedata
from collections.abc import Iterable
from pathlib import Path

from tools.common.errors import UserError, shown
from tools.datasets.base import DataSet, Scan
from tools.datasets.walk import ImageWalk, images_in, is_hidden_class, is_system, note, require_linked

_SHOWN = 5  # names in a message
_MEANT = {"val": ("val", "test", "dev"), "train": ("train",)}  # how other names of these folders begin


class Folder(DataSet):
    """A class id is the name of a class folder. Image files at any depth below it belong to the class."""

    @classmethod
    def is_at(cls, folder: Path) -> bool:
        return (folder / "train").is_dir() and (folder / "val").is_dir()

    @classmethod
    def found_at(cls, folder: Path) -> str:
        """`has train/ but no val/`, and what could be meant to be it."""
        there = _folders(folder)
        has, lacks = [p for p in ("train", "val") if p in there], [p for p in ("train", "val") if p not in there]
        for link in (folder / part for part in lacks):
            if link.is_symlink() and not link.exists():
                return f"has {link.name} -> {os.readlink(link)}, a link that leads nowhere; is the disk mounted?"
        others = [name for begin in _MEANT[lacks[0]] for name in there if name.lower().startswith(begin)]
        if len(has) == 1 and others:
            found = " and ".join(f"{name}/" for name in (*has, *others))
            return f"has {found}, but no {lacks[0]}/; if {others[0]}/ is meant, rename it"
        if has:
            return f"has {has[0]}/ but no {lacks[0]}/; put some images of every class into {lacks[0]}/<class>/"
        shown = f"the folders {_names(there)}" if there else "no folder in it"
        return (
            f"has no train/ and no val/, but {shown}; put the images of each class into train/<class>/ and val/<class>/"
        )

    def scan(self) -> Scan:
        for folder in (self.root / "train", self.root / "val"):
            if not folder.is_dir():
                raise UserError(f"{folder}: no such folder; a `folder` data set has train/<class>/* and val/<class>/*")
        require_linked([self.root / "train", self.root / "val"])
        walk = ImageWalk(self.root)
        train, val = self._classes("train", walk), self._classes("val", walk)
        notes = [*self._left_out("train", train), *self._left_out("val", val), *walk.notes()]
        name_of = _named_as(train, val)
        renamed = [name for name in val if name_of[name] != name]
        val = {name_of[name]: images for name, images in val.items()}
        if renamed:
            notes.append(f"the same class, though val/ writes the name in another Unicode form: {_names(renamed)}")
        for classes, others, part, other in ((train, val, "train", "val"), (val, train, "val", "train")):
            alone = sorted(set(classes) - set(others))
            if alone:
                raise UserError(
                    f"{self.root / other}: no images of {len(alone)} classes that {part}/ has ({_names(alone)}); "
                    f"every class needs a folder of images in both train/ and val/"
                )
        name_of = _named_as(train, {owner.partition("/")[2] for owner in walk.missing.values()})
        missing = {reference: name_of[owner.partition("/")[2]] for reference, owner in sorted(walk.missing.items())}
        return Scan(sorted(train), train, val, missing, notes)

    def _classes(self, part: str, walk: ImageWalk) -> dict[str, list[str]]:
        """Class id -> references, for every class folder of `part` that has an image."""
        folder = self.root / part
        images = {name: walk.images(f"{part}/{name}") for name in _folders(folder)}
        classes = {name: references for name, references in images.items() if references}
        if not classes:
            raise UserError(f"{folder}: no images in class folders; it should hold <class>/*.jpg, *.png, ...")
        forms: dict[str, str] = {}
        for name in classes:
            other = forms.setdefault(unicodedata.normalize("NFC", name), name)
            if other != name:
                raise UserError(
                    f"{folder}: two classes look the same, {name}: one is written in another Unicode form "
                    f"({other!a} and {name!a}); rename one, or put their images together"
                )
        return classes

    def _left_out(self, part: str, classes: dict[str, list[str]]) -> list[str]:
        """Notes on images outside of class folders, and on folders without images."""
        folder = self.root / part
        hidden = sorted(entry.name for entry in os.scandir(folder) if is_hidden_class(entry))
        empty = [name for name in _folders(folder) if name not in classes]
        return [
            *note(f"left out, images directly in {part}/ and so in no class", images_in(folder)),
            *note(f"no class, hidden folders of {part}/ with images", hidden),
            *note(f"no class, folders of {part}/ without images", empty),
        ]


def _named_as(train: Iterable[str], names: Iterable[str]) -> dict[str, str]:
    """Name -> the same name as `train` writes it: macOS writes another Unicode form than other systems."""
    forms = {unicodedata.normalize("NFC", name): name for name in train}
    forms |= {name: name for name in train}
    return {name: forms.get(name, forms.get(unicodedata.normalize("NFC", name), name)) for name in names}


def _folders(folder: Path) -> list[str]:
    return sorted(entry.name for entry in os.scandir(folder) if entry.is_dir() and not is_system(entry.name))


def _names(names: list[str]) -> str:
    return ", ".join(map(shown, names[:_SHOWN])) + (", ..." if len(names) > _SHOWN else "")
