"""Tiny-ImageNet as it lies on disk: classes, training images, and validation images by their annotations."""

import shutil
from pathlib import Path

import pytest

from tools.common.errors import UserError
from tools.datasets.folder import Folder
from tools.datasets.tiny_imagenet import TinyImageNet


def test_classes_training_and_validation_images_are_read(tiny: Path) -> None:
    scan = TinyImageNet(tiny).scan()
    assert len(scan.classes) == 20
    assert {len(references) for references in scan.train.values()} == {60}
    assert {len(references) for references in scan.val.values()} == {10}
    assert scan.classes == sorted((tiny / "wnids.txt").read_text().split())
    assert TinyImageNet(tiny).read(scan.train["n02123045"][0]).shape == (64, 64, 3)


def test_validation_labels_are_those_of_the_annotations(tiny: Path) -> None:
    labels = dict(line.split("\t")[:2] for line in (tiny / "val/val_annotations.txt").read_text().splitlines())
    scan = TinyImageNet(tiny).scan()
    assert {Path(r).name: wnid for wnid, references in scan.val.items() for r in references} == labels


def test_lines_of_the_annotations_may_be_in_any_order(tiny: Path) -> None:
    before = TinyImageNet(tiny).scan()
    annotations = tiny / "val/val_annotations.txt"
    annotations.write_text("\n".join(reversed(annotations.read_text().splitlines())))
    assert TinyImageNet(tiny).scan() == before


def test_a_file_that_the_annotations_name_but_the_disk_lacks_is_counted_as_missing(tiny: Path) -> None:
    lost = TinyImageNet(tiny).scan().val["n02123045"][0]
    (tiny / lost).unlink()
    scan = TinyImageNet(tiny).scan()
    assert scan.missing == {lost: "n02123045"}
    assert len(scan.val["n02123045"]) == 9


def test_a_class_folder_taken_away_takes_its_validation_images_along(tiny: Path) -> None:
    shutil.rmtree(tiny / "train/n02123045")
    scan = TinyImageNet(tiny).scan()
    assert len(scan.classes) == len(scan.val) == 19
    assert sum(map(len, scan.val.values())) == 190


def test_a_folder_that_wnids_txt_does_not_name_is_no_class(tiny: Path) -> None:
    shutil.copytree(tiny / "train/n02123045", tiny / "train/copy of n02123045")
    assert len(TinyImageNet(tiny).scan().classes) == 20


def test_a_class_without_a_validation_image_is_named(tiny: Path) -> None:
    for reference in TinyImageNet(tiny).scan().val["n02123045"]:
        (tiny / reference).unlink()
    with pytest.raises(UserError, match=r"no images of 1 classes that train/ has \(n02123045\)"):
        TinyImageNet(tiny).scan()


def test_annotations_with_other_names_than_the_files_show_one_of_each(tiny: Path) -> None:
    annotations = tiny / "val/val_annotations.txt"
    annotations.write_text(annotations.read_text().replace(".JPEG", ".jpeg"))
    named = (
        r"val_annotations.txt names \['val_\d+.jpeg'\], where .*/val/images has 'val_\d+.JPEG'; make the names agree"
    )
    with pytest.raises(UserError, match=rf"no images of 20 classes that train/ has .*; {named}"):
        TinyImageNet(tiny).scan()


def test_a_broken_line_of_the_annotations_is_named(tiny: Path) -> None:
    annotations = tiny / "val/val_annotations.txt"
    annotations.write_text(annotations.read_text() + "val_77.JPEG n02123045\n")
    with pytest.raises(UserError, match=r"val_annotations.txt:201: found 'val_77.JPEG n02123045'; right is"):
        TinyImageNet(tiny).scan()


def test_a_byte_order_mark_and_blank_lines_hide_no_class_and_no_image(tiny: Path) -> None:
    before = TinyImageNet(tiny).scan()
    for file in (tiny / "wnids.txt", tiny / "val/val_annotations.txt"):
        file.write_text(f"\ufeff{file.read_text()}\n  \n\n")
    assert TinyImageNet(tiny).scan() == before


def test_files_of_systems_among_the_images_are_passed_over(tiny: Path) -> None:
    before = TinyImageNet(tiny).scan()
    for folder in ("train/n02123045/images", "val/images", "train"):
        for name in ("Thumbs.db", "desktop.ini", ".DS_Store"):
            (tiny / folder / name).write_bytes(b"no image")
    assert TinyImageNet(tiny).scan() == before


def test_images_in_no_list_are_told(tiny: Path) -> None:
    shutil.copytree(tiny / "train/n02123045", tiny / "train/n0")
    shutil.copy(tiny / "val/images/val_0.JPEG", tiny / "val/images/more.JPEG")
    assert TinyImageNet(tiny).scan().notes == [
        "no class, folders of train/ that wnids.txt does not list: 1 (n0)",
        "left out, images of val/images without a line in val_annotations.txt: 1 (more.JPEG)",
    ]


def test_images_outside_of_the_folders_images_are_told(tiny: Path) -> None:
    before = TinyImageNet(tiny).scan()
    image = tiny / "val/images/val_0.JPEG"
    for place in (
        "train/1.JPEG",
        "train/n02123045/2.JPEG",
        "train/n02123045/more/3.JPEG",
        "val/4.JPEG",
        "val/n0/5.JPEG",
    ):
        (tiny / place).parent.mkdir(exist_ok=True)
        shutil.copy(image, tiny / place)
    scan = TinyImageNet(tiny).scan()
    assert (scan.train, scan.val) == (before.train, before.val)
    assert scan.notes == [
        "left out, images of train/ that are not in <wnid>/images/: 3 "
        "(train/1.JPEG, train/n02123045/2.JPEG, train/n02123045/more/)",
        "left out, images of val/ that are not in val/images: 2 (4.JPEG, n0/)",
    ]


def test_a_label_may_have_blanks_and_one_that_is_no_class_is_told(tiny: Path) -> None:
    before = TinyImageNet(tiny).scan()
    annotations = tiny / "val/val_annotations.txt"
    text = annotations.read_text()
    annotations.write_text(text.replace("\tn02123045\t", "\tn02123045 \t"))
    assert TinyImageNet(tiny).scan() == before
    annotations.write_text(text.replace("\tn02123045\t", "\tN02123045\t", 1))
    lost = Path(before.val["n02123045"][0]).name
    assert TinyImageNet(tiny).scan().notes == [
        f"left out, images of val/images whose class train/ does not have: 1 ({lost} is N02123045)"
    ]


def test_classes_without_images_are_told(tiny: Path) -> None:
    shutil.rmtree(tiny / "train/n02123045/images")
    for image in (tiny / "train/n02268443/images").iterdir():
        image.unlink()
    scan = TinyImageNet(tiny).scan()
    assert len(scan.classes) == 18
    assert scan.notes[0] == "no class, folders of train/ without images in <wnid>/images/: 2 (n02123045, n02268443)"


def test_an_image_with_two_labels_is_named(tiny: Path) -> None:
    annotations = tiny / "val/val_annotations.txt"
    name, wnid = annotations.read_text().split("\t")[:2]
    annotations.write_text(f"{annotations.read_text()}{name}\tn00000000\t0\n")
    with pytest.raises(UserError, match=rf"val_annotations.txt:201: {name} is n00000000 here, {wnid} above; keep one"):
        TinyImageNet(tiny).scan()


def test_val_sorted_by_class_says_what_to_do_and_that_works(tiny: Path) -> None:
    for wnid, references in TinyImageNet(tiny).scan().val.items():
        (tiny / "val" / wnid / "images").mkdir(parents=True)
        for reference in references:
            (tiny / reference).rename(tiny / "val" / wnid / "images" / Path(reference).name)
    with pytest.raises(
        UserError,
        match=r"sorted into a folder a class, .*: set `dataset: folder` with the same `path:` \(for `new`: rem",
    ):
        TinyImageNet(tiny).scan()
    scan = Folder(tiny).scan()
    assert {len(images) for images in scan.train.values()} == {60}
    assert {len(images) for images in scan.val.values()} == {10}
