"""A folder of images, train/ and val/ with a folder a class: what counts as an image, and what is refused."""

import os
import shutil
import tempfile
from pathlib import Path

import pytest

from tests.helpers.pictures import save
from tools.common.errors import UserError
from tools.datasets.folder import Folder
from tools.datasets.image_file import BadImage


def test_a_folder_gives_every_image_of_every_class_sorted(folder: Path) -> None:
    scan = Folder(folder).scan()
    assert scan.classes == ["cat", "dog house"]
    assert scan.train["cat"] == ["train/cat/1 one.jpg", "train/cat/2.PNG", "train/cat/deeper/3.bmp"]
    assert scan.val == {"cat": ["val/cat/1.tif"], "dog house": ["val/dog house/1.webp"]}
    assert scan.missing == {}
    for part in (scan.train, scan.val):
        for references in part.values():
            assert all(Folder(folder).read(r).shape == (8, 8, 3) for r in references)


def test_hidden_files_and_those_of_systems_are_passed_over_without_a_word(folder: Path) -> None:
    for name in ("@Recycle", "#snapshot", "#recycle", "lost+found"):
        save(folder / "train" / name / "1.jpg")
    for name in (".hidden.jpg", "._1 one.jpg", ".DS_Store", "Thumbs.db", "desktop.ini"):
        save(folder / "train/cat/x.jpg").rename(folder / "train/cat" / name)
    save(folder / "train/__MACOSX/cat/1.jpg")
    save(folder / "train/cat/@eaDir/1.jpg")
    scan = Folder(folder).scan()
    assert scan.train["cat"] == ["train/cat/1 one.jpg", "train/cat/2.PNG", "train/cat/deeper/3.bmp"]
    assert (scan.classes, scan.notes) == (["cat", "dog house"], [])


def test_images_of_any_name_are_read_and_told(folder: Path) -> None:
    """`.jfif` is what Chrome on Windows saves; many data sets have names without a suffix, or with a number as one."""
    for name in ("4.jfif", "n01443537_0", "photo.v2", "5.jpg_large"):
        save(folder / "train/cat/x.jpg").rename(folder / "train/cat" / name)
    (folder / "train/cat/notes.txt").write_text("P1 is how a bitmap begins")
    (folder / "train/cat/model.xyz").write_bytes(bytes(range(100)))
    (folder / "train/cat/7.heic").write_bytes(b"\0\0\0\x18ftypheic" + bytes(100))
    scan = Folder(folder).scan()
    assert len(scan.train["cat"]) == 7
    assert all(Folder(folder).read(reference).shape == (8, 8, 3) for reference in scan.train["cat"])
    unnamed, photographs, others = scan.notes
    assert unnamed.startswith("read as images, though the suffix is not an image's: 4 (train/cat/4.jfif, ")
    assert photographs == "left out, photographs that OpenCV cannot read: .heic (1)"
    assert others == "passed over, no images: .xyz (1), .txt (1)"


def test_photographs_that_cannot_be_read_are_told_as_such(folder: Path) -> None:
    for name in ("empty.jfif", "empty.avif", "empty"):
        (folder / "train/cat" / name).touch()
    (folder / "train/cat/broken.jfif").write_bytes(b"\0" * 100)
    scan = Folder(folder).scan()
    assert len(scan.train["cat"]) == 3
    assert scan.notes == [
        "left out, photographs that OpenCV cannot read: .jfif (2), .avif (1)",
        "passed over, no images: no suffix (1)",
    ]


def test_a_file_that_may_not_be_opened_is_an_image_that_cannot_be_read(folder: Path) -> None:
    """Nobody knows what it is. Root may read all, so it becomes nobody, who may not look into pytest's folder."""
    for name in ("a.jfif", "b"):
        save(folder / "train/cat/x.jpg").rename(folder / "train/cat" / name).chmod(0)
    with tempfile.TemporaryDirectory() as disk:
        Path(disk).chmod(0o755)
        images = shutil.copytree(folder, Path(disk) / "images")
        was = os.geteuid()
        try:
            if was == 0:
                os.seteuid(65534)
            scan = Folder(images).scan()
            assert {"train/cat/a.jfif", "train/cat/b"} < set(scan.train["cat"]) and scan.notes == []
            with pytest.raises(BadImage, match="Permission denied"):
                Folder(images).read("train/cat/b")
        finally:
            os.seteuid(was)


def test_hidden_folders_with_images_are_told(folder: Path) -> None:
    """A class may be called `.net`."""
    for place in ("train/.net/deeper", "val/.net", "train/cat/.more", "train/.cache", "train/dog house/.thumbnails"):
        save(folder / place / "1.jpg")
    (folder / "train/.empty").mkdir()
    scan = Folder(folder).scan()
    assert scan.classes == ["cat", "dog house"]
    assert scan.notes == [
        "no class, hidden folders of train/ with images: 1 (.net)",
        "no class, hidden folders of val/ with images: 1 (.net)",
        "left out, hidden folders with images: 1 (train/cat/.more)",
    ]


def test_images_outside_of_classes_and_folders_without_images_are_told(folder: Path) -> None:
    save(folder / "train/loose.jpg")
    save(folder / "train/x.jpg").rename(folder / "train" / os.fsdecode(b"caf\xe9.jpg"))
    save(folder / "train/x.jpg").rename(folder / "train/other.jfif")
    save(folder / "train/x.jpg").rename(folder / "train/without")
    (folder / "train/phone.heic").write_bytes(b"\0\0\0\x18ftypheic" + bytes(100))
    (folder / "train/list.txt").write_text("P1 is how a bitmap begins")
    (folder / "val/empty").mkdir()
    assert Folder(folder).scan().notes == [
        "left out, images directly in train/ and so in no class: 5 (caf\\xe9.jpg, loose.jpg, other.jfif, ...)",
        "no class, folders of val/ without images: 1 (empty)",
    ]


def test_unicode_forms_of_a_name_are_one_class(folder: Path) -> None:
    composed, decomposed = "caf\u00e9", "cafe\u0301"
    save(folder / "train" / composed / "1.jpg")
    save(folder / "val" / decomposed / "1.jpg")
    scan = Folder(folder).scan()
    assert scan.train[composed] == [f"train/{composed}/1.jpg"] and scan.val[composed] == [f"val/{decomposed}/1.jpg"]
    assert scan.notes == [f"the same class, though val/ writes the name in another Unicode form: {decomposed}"]
    save(folder / "train" / decomposed / "1.jpg")
    with pytest.raises(UserError, match=r"two classes look the same, .*'caf\\xe9' and 'cafe\\u0301'|'cafe\\u0301' and"):
        Folder(folder).scan()


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


def test_a_folder_without_images_is_refused(tmp_path: Path) -> None:
    (tmp_path / "train/cat").mkdir(parents=True)
    (tmp_path / "val").mkdir()
    with pytest.raises(UserError, match=r"train: no images in class folders"):
        Folder(tmp_path).scan()
