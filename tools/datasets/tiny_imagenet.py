"""Tiny-ImageNet as published: train/<wnid>/images/*.JPEG, val/images/*.JPEG with val/val_annotations.txt, wnids.txt."""

import os
from pathlib import Path

from tools.common.errors import UserError
from tools.datasets.base import DataSet, Scan


class TinyImageNet(DataSet):
    """A class id is a WordNet id (n01443537). A copy may have fewer classes. `test/`, without labels, is ignored."""

    @classmethod
    def is_at(cls, folder: Path) -> bool:
        return (folder / "train").is_dir() and (folder / "val" / "val_annotations.txt").is_file()

    def scan(self) -> Scan:
        train = self._train()
        val, missing = self._val(set(train))
        empty = sorted(wnid for wnid, images in val.items() if not images)
        if empty:
            raise UserError(
                f"{self.root / 'val'}: no images of {len(empty)} classes that train/ has ({', '.join(empty[:5])}); "
                f"unpack the archive again, or remove these classes from train/"
            )
        return Scan(sorted(train), train, val, missing)

    def _train(self) -> dict[str, list[str]]:
        """wnid -> references. Only folders that wnids.txt lists are classes; not every listed one need exist."""
        wnids = self.root / "wnids.txt"
        listed = set(wnids.read_text().split()) if wnids.is_file() else None
        train = {}
        for wnid in sorted(_names(self.root / "train")):
            images = self.root / "train" / wnid / "images"
            if (listed is None or wnid in listed) and images.is_dir():
                train[wnid] = sorted(f"train/{wnid}/images/{name}" for name in _names(images))
        train = {wnid: references for wnid, references in train.items() if references}
        if not train:
            raise UserError(f"{self.root / 'train'}: no images in <wnid>/images/ of the classes in {wnids}")
        return train

    def _val(self, wnids: set[str]) -> tuple[dict[str, list[str]], list[str]]:
        """(wnid -> references, missing references). The labels come from the annotations."""
        annotations = self.root / "val" / "val_annotations.txt"
        images = self.root / "val" / "images"
        on_disk = set(_names(images)) if images.is_dir() else set()
        val: dict[str, list[str]] = {wnid: [] for wnid in wnids}
        missing: list[str] = []
        for number, line in enumerate(annotations.read_text().splitlines(), 1):
            fields = line.split("\t")
            if len(fields) < 2:
                raise UserError(f"{annotations}:{number}: found {line!r}; right is `image<tab>wnid<tab>box`")
            name, wnid = fields[:2]
            if wnid in wnids:
                (val[wnid] if name in on_disk else missing).append(f"val/images/{name}")
        return {wnid: sorted(references) for wnid, references in val.items()}, sorted(missing)


def _names(folder: Path) -> list[str]:
    return [name for name in os.listdir(folder) if not name.startswith(".")]
