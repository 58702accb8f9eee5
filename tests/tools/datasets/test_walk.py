"""Walking class folders: pipes and devices, links in circles and into other classes."""

import os
import shutil
import socket
from pathlib import Path

import pytest

from tests.helpers.pictures import save
from tools.common.errors import UserError
from tools.datasets.folder import Folder
from tools.datasets.image_file import BadImage
from tools.datasets.tiny_imagenet import TinyImageNet


def test_what_is_no_file_does_not_hang(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    os.mkfifo(folder / "train/cat/pipe.png")
    monkeypatch.chdir(folder / "train/cat")  # the path of a socket has at most 107 bytes
    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind("socket.png")
        (folder / "train/cat/zero.png").symlink_to("/dev/zero")
        scan = Folder(folder).scan()
    assert len(scan.train["cat"]) == 3
    assert scan.notes == [
        "passed over, pipes, sockets or devices: 3 (train/cat/pipe.png, train/cat/socket.png, train/cat/zero.png)"
    ]
    for name in ("pipe.png", "zero.png", "socket.png"):
        with pytest.raises(BadImage):
            Folder(folder).read(f"train/cat/{name}")


@pytest.mark.parametrize("target", ["train/cat", "train/cat/deeper"])
def test_a_link_that_leads_back_into_its_class_counts_no_image_twice(folder: Path, target: str) -> None:
    for number in range(3):  # three links, each below each other, would multiply the images without end
        (folder / f"train/cat/deeper/loop{number}").symlink_to(folder / target)
    (folder / "train/cat/zoo").symlink_to("deeper")  # would be walked before the folder, by its name
    (folder / "train/cat/self").symlink_to("self")
    (folder / "train/cat/again.jpg").symlink_to("1 one.jpg")
    scan = Folder(folder).scan()
    assert scan.train["cat"] == ["train/cat/1 one.jpg", "train/cat/2.PNG", "train/cat/deeper/3.bmp"]
    assert "passed over, links back into their own class, so that each image counts once: 6" in scan.notes[-1]
    assert scan.missing == {}


@pytest.mark.parametrize(
    ("link", "target"),
    [("train/cat/more", "train/dog house"), ("train/kitty", "train/cat"), ("val/cat/more", "train/cat")],
)
def test_a_link_that_leads_into_another_class_or_from_val_into_train_is_refused(
    folder: Path, link: str, target: str
) -> None:
    (folder / link).symlink_to(folder / target)
    with pytest.raises(UserError, match=r"are the same folder \(one is a link\), so its images would be in two"):
        Folder(folder).scan()


def test_val_that_is_a_link_to_train_is_refused(folder: Path) -> None:
    shutil.rmtree(folder / "val")
    (folder / "val").symlink_to("train")
    with pytest.raises(UserError, match="train/cat and val/cat are the same folder"):
        Folder(folder).scan()


def test_links_to_files_elsewhere_are_images_and_those_to_nothing_are_missing(folder: Path, tmp_path: Path) -> None:
    (folder / "train/cat/linked.jpg").symlink_to(save(tmp_path / "elsewhere.jpg"))
    (folder / "train/cat/gone.jpg").symlink_to(tmp_path / "gone.jpg")
    (folder / "train/cat/more").symlink_to("/mnt/disk2/more")  # it may have been a folder of images
    (folder / "train/cat/list.txt").symlink_to("/gone/list.txt")
    (folder / "train/cat/notes.doc").symlink_to("/gone/notes.doc")
    scan = Folder(folder).scan()
    assert "train/cat/linked.jpg" in scan.train["cat"] and len(scan.train["cat"]) == 4
    assert scan.missing == {"train/cat/gone.jpg": "cat", "train/cat/more": "cat"}


def test_links_of_classes_that_lead_nowhere_are_refused_with_their_targets(folder: Path, tiny: Path) -> None:
    """As after a start without the disk of some classes: the others would be divided without a word."""
    (folder / "train/list.txt").symlink_to("/gone/list.txt")
    (folder / "train/loose.jpg").symlink_to("/gone/loose.jpg")
    assert Folder(folder).scan().classes == ["cat", "dog house"]
    for place in (folder / "train/eel", folder / "val/eel"):
        place.symlink_to("/mnt/disk2/eel")
    lost = f"\n  {folder}/train/eel -> /mnt/disk2/eel\n  {folder}/val/eel -> /mnt/disk2/eel\nis the disk mounted"
    with pytest.raises(UserError, match=f"links of class folders lead nowhere:{lost}"):
        Folder(folder).scan()
    for place in (tiny / "train/n02123045", tiny / "train/n02268443/images"):
        shutil.rmtree(place)
        place.symlink_to("/mnt/disk2/n0")
    lost = f"\n  {tiny}/train/n02123045 -> /mnt/disk2/n0\n  {tiny}/train/n02268443/images -> /mnt/disk2/n0\n"
    with pytest.raises(UserError, match=f"links of class folders lead nowhere:{lost}"):
        TinyImageNet(tiny).scan()


def test_a_name_that_is_not_utf_8_is_looked_into_as_any_other(folder: Path) -> None:
    """By the file's first bytes: its suffix is not an image's."""
    for name in (b"caf\xe9", b"x.caf\xe9"):
        (folder / "train/cat" / os.fsdecode(name)).write_text("no image")
    scan = Folder(folder).scan()
    assert len(scan.train["cat"]) == 3
    assert scan.notes == ["passed over, no images: no suffix (1), .caf\\xe9 (1)"]
