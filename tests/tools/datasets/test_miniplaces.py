"""MiniPlaces as it lies on disk: nested classes, and the lists that name images and labels."""

import shutil
from pathlib import Path

import pytest

from tests.helpers.pictures import picture, save
from tools.common.errors import UserError
from tools.datasets.miniplaces import MiniPlaces


@pytest.fixture
def places(tmp_path: Path) -> Path:
    """Two classes, one of them nested, three training and two validation images each; 128 pixels, as published."""
    root = tmp_path / "places"
    train, val = [], []
    for label, name in enumerate(["a/abbey", "c/church/outdoor"]):
        for i in range(1, 4):
            save(root / f"images/train/{name}/{i:08d}.jpg", picture(128, 128))
            train.append(f"train/{name}/{i:08d}.jpg {label}")
    for i, label in enumerate([1, 0, 0, 1], 1):
        save(root / f"images/val/{i:08d}.jpg", picture(128, 128))
        val.append(f"val/{i:08d}.jpg {label}")
    (root / "train.txt").write_text("\n".join(train) + "\n")
    (root / "val.txt").write_text("\n".join(val) + "\n")
    return root


def test_nested_classes_are_paths_and_val_is_joined_by_the_label(places: Path) -> None:
    scan = MiniPlaces(places).scan()
    assert scan.classes == ["a/abbey", "c/church/outdoor"]
    assert scan.train["c/church/outdoor"] == [f"train/c/church/outdoor/{i:08d}.jpg" for i in (1, 2, 3)]
    assert scan.val == {
        "a/abbey": ["val/00000002.jpg", "val/00000003.jpg"],
        "c/church/outdoor": ["val/00000001.jpg", "val/00000004.jpg"],
    }
    assert MiniPlaces(places).root == places / "images"
    assert MiniPlaces(places).read("val/00000001.jpg").shape == (128, 128, 3)


def test_listed_files_that_the_disk_lacks_are_missing_and_files_that_no_list_names_are_no_images(places: Path) -> None:
    (places / "images/train/a/abbey/00000002.jpg").unlink()
    (places / "images/val/00000004.jpg").unlink()
    save(places / "images/train/a/abbey/99999999.jpg")
    scan = MiniPlaces(places).scan()
    assert list(scan.missing) == ["train/a/abbey/00000002.jpg", "val/00000004.jpg"]
    assert scan.train["a/abbey"] == ["train/a/abbey/00000001.jpg", "train/a/abbey/00000003.jpg"]
    assert scan.val["c/church/outdoor"] == ["val/00000001.jpg"]


@pytest.mark.parametrize(
    ("file", "line", "message"),
    [
        ("train.txt", "train/a/abbey/1.jpg", r"train.txt:7: found 'train/a/abbey/1.jpg'; right is `path label`"),
        ("train.txt", "abbey/1.jpg 0", r"train.txt:7: found 'abbey/1.jpg'; right is train/<class>/<image>"),
        ("train.txt", "train/b/bar/1.jpg 0", r"train.txt:7: label 0 is b/bar here, a/abbey above"),
        ("train.txt", "train/a/abbey/1.jpg 7", r"train.txt: a class has two labels"),
        ("train.txt", "train/a/abbey/1.jpg \u0663", r"train.txt:7: found .*; right is `path label`"),
        ("val.txt", "train/a/abbey/00000001.jpg 0", r"val.txt:5: found 'train/a/abbey/00000001.jpg'; right is val/"),
        ("val.txt", "val/00000001.jpg 0", r"val.txt:5: val/00000001.jpg has label 0 here, 1 above; keep one line"),
        ("val.txt", "val/1.jpg 7", r"val.txt:5: label 7 is in no line of train.txt"),
    ],
)
def test_a_broken_line_of_a_list_is_named(places: Path, file: str, line: str, message: str) -> None:
    with open(places / file, "a") as out:
        out.write(line + "\n")
    with pytest.raises(UserError, match=message):
        MiniPlaces(places).scan()


def test_a_class_without_any_file_on_disk_is_named(places: Path) -> None:
    shutil.rmtree(places / "images/train/c/church")
    with pytest.raises(UserError, match=r"class c/church/outdoor has no image of train.txt on disk"):
        MiniPlaces(places).scan()


def test_a_class_that_is_lost_whole_is_told(places: Path) -> None:
    scan = MiniPlaces(places).scan()
    for reference in (*scan.train["c/church/outdoor"], *scan.val["c/church/outdoor"]):
        (places / "images" / reference).unlink()
    assert MiniPlaces(places).scan().notes == ["left out, classes without an image on disk: 1 (c/church/outdoor)"]


def test_a_byte_order_mark_and_blank_lines_mean_nothing(places: Path) -> None:
    before = MiniPlaces(places).scan()
    for file in (places / "train.txt", places / "val.txt"):
        file.write_text(f"\ufeff{file.read_text()}\n \n")
    assert MiniPlaces(places).scan() == before


def test_links_in_circles_end(places: Path) -> None:
    before = MiniPlaces(places).scan()
    for number in range(3):
        (places / f"images/train/a/loop{number}").symlink_to(places / "images/train")
    (places / "images/train/self").symlink_to("self")
    scan = MiniPlaces(places).scan()
    assert (scan.train, scan.val) == (before.train, before.val)


def test_files_that_no_list_names_are_told(places: Path) -> None:
    save(places / "images/val/99999999.jpg")
    (places / "images/val/Thumbs.db").touch()
    assert MiniPlaces(places).scan().notes == ["left out, files of images/ that no list names: 1 (val/99999999.jpg)"]
