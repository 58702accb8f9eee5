"""Tiny-ImageNet as published: train/<wnid>/images/*.JPEG, val/images/*.JPEG with val/val_annotations.txt, wnids.txt."""

import os
from pathlib import Path

from tools.common.errors import UserError
from tools.datasets.base import DataSet, Scan
from tools.datasets.lists import read_lines
from tools.datasets.walk import ImageWalk, images_in, images_outside, is_system, note, require_linked


class TinyImageNet(DataSet):
    """A class id is a WordNet id (n01443537). A copy may have fewer classes. `test/`, without labels, is ignored."""

    @classmethod
    def is_at(cls, folder: Path) -> bool:
        return (folder / "train").is_dir() and (folder / "val" / "val_annotations.txt").is_file()

    def scan(self) -> Scan:
        walk = ImageWalk(self.root)
        train, notes = self._train(walk)
        val, missing, more_notes = self._val(set(train))
        empty = sorted(wnid for wnid, images in val.items() if not images)
        if empty:
            raise UserError(
                f"{self.root / 'val'}: no images of {len(empty)} classes that train/ has ({', '.join(empty[:5])}); "
                f"{self._what_to_do()}"
            )
        missing |= {reference: folder.split("/")[1] for reference, folder in walk.missing.items()}
        return Scan(sorted(train), train, val, dict(sorted(missing.items())), [*walk.notes(), *notes, *more_notes])

    def _what_to_do(self) -> str:
        images = self.root / "val" / "images"
        names = set(_names(images)) if images.is_dir() else set()
        listed = [line.split("\t")[0] for _, line in read_lines(self.root / "val" / "val_annotations.txt")]
        if names and not names.intersection(listed):
            return f"val_annotations.txt names {listed[:1]}, where {images} has {min(names)!r}; make the names agree"
        if names:
            return "unpack the archive again, or remove these classes from train/"
        if any(entry.is_dir() for entry in os.scandir(self.root / "val") if entry.name != "images"):
            return (
                "val/ was sorted into a folder a class, and val/images has no images: set `dataset: folder` with the "
                "same `path:` (for `new`: remove val/val_annotations.txt), or unpack the archive again"
            )
        return "val/images has no images; unpack the archive again"

    def _train(self, walk: ImageWalk) -> tuple[dict[str, list[str]], list[str]]:
        """(wnid -> references, notes on folders that are no class).

        A class is a folder that wnids.txt lists, if that is there. Not every listed one need exist.
        """
        wnids = self.root / "wnids.txt"
        listed = {word for _, line in read_lines(wnids) for word in line.split()} if wnids.is_file() else None
        folders = [name for name in sorted(_names(self.root / "train")) if (self.root / "train" / name).is_dir()]
        classes = [name for name in folders if listed is None or name in listed]
        with_images = [name for name in classes if (self.root / "train" / name / "images").is_dir()]
        require_linked(self.root / "train" / name for name in ("", *sorted(set(classes) - set(with_images))))
        train = {wnid: walk.images(f"train/{wnid}/images") for wnid in with_images}
        train = {wnid: references for wnid, references in train.items() if references}
        if not train:
            raise UserError(f"{self.root / 'train'}: no images in <wnid>/images/ of the classes in {wnids}")
        unlisted, empty = [n for n in folders if n not in classes], [n for n in classes if n not in train]
        notes = note("no class, folders of train/ that wnids.txt does not list", unlisted)
        notes += note("no class, folders of train/ without images in <wnid>/images/", empty)
        loose = [f"train/{name}" for name in images_in(self.root / "train")]
        loose += [f"train/{wnid}/{name}" for wnid in train for name in images_outside(self.root / "train" / wnid)]
        return train, notes + note("left out, images of train/ that are not in <wnid>/images/", loose)

    def _val(self, wnids: set[str]) -> tuple[dict[str, list[str]], dict[str, str], list[str]]:
        """(wnid -> references, missing reference -> wnid, notes on what is left out). Annotations give the labels."""
        annotations = self.root / "val" / "val_annotations.txt"
        images = self.root / "val" / "images"
        on_disk = set(_names(images)) if images.is_dir() else set()
        label: dict[str, str] = {}
        for number, line in read_lines(annotations):
            fields = line.split("\t")
            if len(fields) < 2:
                raise UserError(f"{annotations}:{number}: found {line!r}; right is `image<tab>wnid<tab>box`")
            name, wnid = fields[0], fields[1].strip()
            if label.setdefault(name, wnid) != wnid:
                raise UserError(f"{annotations}:{number}: {name} is {wnid} here, {label[name]} above; keep one line")
        val: dict[str, list[str]] = {wnid: [] for wnid in wnids}
        missing: dict[str, str] = {}
        for name, wnid in label.items():
            if wnid in wnids and name in on_disk:
                val[wnid].append(f"val/images/{name}")
            elif wnid in wnids:
                missing[f"val/images/{name}"] = wnid
        others = [f"{name} is {wnid}" for name, wnid in label.items() if wnid not in wnids and name in on_disk]
        notes = note("left out, images of val/images whose class train/ does not have", others)
        unlabelled = sorted(on_disk - label.keys())
        notes += note("left out, images of val/images without a line in val_annotations.txt", unlabelled)
        notes += note("left out, images of val/ that are not in val/images", images_outside(self.root / "val"))
        return {wnid: sorted(references) for wnid, references in val.items()}, missing, notes


def _names(folder: Path) -> list[str]:
    return [name for name in os.listdir(folder) if not is_system(name)]
