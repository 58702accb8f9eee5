"""A folder of images, train/ and val/ with a folder a class: what counts as an image, and what is refused."""

import os
from pathlib import Path

import pytest

from tests.helpers.pictures import save
from tools.common.errors import UserError
from tools.datasets.folder import Folder


def test_a_folder_gives_every_image_of_every_class_sorted(folder: Path) -> None:
    scan = Folder(folder).scan()
    assert scan.classes == ["cat", "dog house"]
    assert scan.train["cat"] == ["train/cat/1 one.jpg", "train/cat/2.PNG", "train/cat/deeper/3.bmp"]
    assert scan.val == {"cat": ["val/cat/1.tif"], "dog house": ["val/dog house/1.webp"]}
    assert scan.missing == []
    for part in (scan.train, scan.val):
        for references in part.values():
            assert all(Folder(folder).read(r).shape == (8, 8, 3) for r in references)


def test_hidden_files_and_notes_are_no_images(folder: Path) -> None:
    save(folder / "train/cat/.hidden.jpg")
    save(folder / "train/.cache/1.jpg")
    save(folder / "train/cat/.thumbnails/1.jpg")
    (folder / "train/cat/Thumbs.db").touch()
    (folder / "train/README.txt").touch()
    (folder / "train/no images").mkdir()
    assert Folder(folder).scan().train["cat"] == ["train/cat/1 one.jpg", "train/cat/2.PNG", "train/cat/deeper/3.bmp"]
    assert Folder(folder).scan().classes == ["cat", "dog house"]


@pytest.mark.parametrize(("there", "absent"), [("train", "val"), ("val", "train")])
def test_a_class_of_one_part_only_is_named(folder: Path, there: str, absent: str) -> None:
    save(folder / there / "bird/1.jpg")
    with pytest.raises(UserError, match=rf"mine/{absent}: no images of 1 classes that {there}/ has \(bird\)"):
        Folder(folder).scan()


@pytest.mark.parametrize("name", [b"caf\xe9.png", b"a\nb.png"])
def test_a_name_that_no_list_can_hold_is_refused(folder: Path, name: bytes) -> None:
    save(folder / "train/cat/ok\u202fay \u732b.png")
    assert len(Folder(folder).scan().train["cat"]) == 4
    (folder / "train/cat" / os.fsdecode(name)).touch()
    with pytest.raises(UserError, match=r"mine: 'train/cat/.*': not one line of UTF-8 text"):
        Folder(folder).scan()


def test_a_folder_without_images_is_refused(tmp_path: Path) -> None:
    (tmp_path / "train/cat").mkdir(parents=True)
    (tmp_path / "val").mkdir()
    with pytest.raises(UserError, match=r"train: no images in class folders"):
        Folder(tmp_path).scan()
