"""Copies of images: told where they are in two classes, in train and in val, or twice in a class."""

import os
import shutil
from pathlib import Path

from tests.helpers.pictures import picture, save
from tools.common.files import sha256
from tools.datasets.copies import copy_notes
from tools.datasets.folder import Folder


def told(root: Path) -> list[str]:
    scan = Folder(root).scan()
    return copy_notes(scan.train, scan.val, {name: sha256(root / name) for name in scan.references})


def test_copies_and_hard_links_are_told_by_number_and_name(tmp_path: Path) -> None:
    names = [f"{part}/{name}/{i}.png" for part in ("train", "val") for name in ("cat", "dog") for i in range(3)]
    for size, name in enumerate(names, 8):
        save(tmp_path / name, picture(size, size))
    assert told(tmp_path) == []
    shutil.copy(tmp_path / "train/cat/0.png", tmp_path / "train/dog/copy.png")
    shutil.copy(tmp_path / "train/cat/1.png", tmp_path / "val/cat/0.png")
    os.link(tmp_path / "train/dog/2.png", tmp_path / "train/dog/link.png")
    assert told(tmp_path) == [
        "the same images in two classes, or in train and in val: 2 "
        "(train/dog/copy.png is train/cat/0.png, val/cat/0.png is train/cat/1.png)",
        "the same images twice in a class: 1 (train/dog/link.png is train/dog/2.png)",
    ]
