"""The present images beside those of a split: gone, changed, or those of another place."""

import shutil
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.helpers.image_projects import experiment
from tests.helpers.pictures import picture, save
from tools.datasets import open_dataset
from tools.datasets.checked import CheckedImages, file_states
from tools.datasets.present import PresentImages, fingerprint
from tools.protocol.experiment import Experiment


@pytest.fixture
def exp(folder: Path, root: Path) -> Experiment:
    return experiment(Path("exp.yaml"), dataset="folder", path=folder)


def of_now(exp: Experiment) -> dict[str, object]:
    """What a split that is made now records."""
    data = open_dataset(exp)
    scan = data.scan()
    digests = CheckedImages(exp, data).digests(scan.references, file_states(data, scan.references))
    return {
        "root": str(data.root),
        "classes": {"A": ["cat"], "B": ["dog house"]},
        "images": fingerprint(scan, scan.classes, digests),
    }


def only(split: dict[str, object]) -> dict[str, object]:
    return {key: split[key] for key in ("root", "images")}


def test_unchanged_images_are_those_of_the_split_and_changed_ones_are_not(exp: Experiment, folder: Path) -> None:
    split = of_now(exp)
    assert PresentImages(exp).compared_with(split) == only(split)
    save(folder / "val/cat/1.tif", picture(9, 9))
    assert PresentImages(exp).compared_with(split)["images"] == of_now(exp)["images"] != split["images"]


def test_an_image_in_another_class_is_a_change(exp: Experiment, folder: Path) -> None:
    split = of_now(exp)
    (folder / "train/cat/2.PNG").rename(folder / "train/dog house/2.PNG")
    assert PresentImages(exp).compared_with(split) != only(split)


@pytest.mark.parametrize(
    "remove",
    [
        shutil.rmtree,
        lambda folder: [f.unlink() for f in folder.rglob("*") if f.is_file()],
        lambda folder: [(folder / "wnids.txt").touch(), *(shutil.rmtree(folder / part) for part in ("train", "val"))],
        lambda folder: [*(f.unlink() for f in folder.rglob("*") if f.is_file()), (folder / "classes.txt").touch()],
        lambda folder: [
            (folder / "holiday").mkdir(),
            (folder / "holiday/a.jpg").touch(),
            *map(shutil.rmtree, (folder / "train", folder / "val")),
        ],
    ],
)
def test_images_that_are_gone_count_as_unchanged(exp: Experiment, folder: Path, remove: object) -> None:
    split = of_now(exp)
    remove(folder)
    assert PresentImages(exp).are_gone and PresentImages(exp).compared_with(split) == only(split)


def test_images_behind_links_are_there(exp: Experiment, folder: Path) -> None:
    for part in ("train", "val"):
        (folder / part).rename(folder.parent / part)
        (folder / part).mkdir()
        for name in (folder.parent / part).iterdir():
            (folder / part / name.name).symlink_to(name)
    assert not PresentImages(exp).are_gone


def test_images_that_can_no_longer_be_divided_are_a_change(exp: Experiment, folder: Path) -> None:
    split = of_now(exp)
    shutil.rmtree(folder / "val/cat")
    assert "no images of 1 classes" in str(PresentImages(exp).compared_with(split)["images"])


def test_images_whose_folders_were_renamed_are_a_change_and_not_gone(exp: Experiment, folder: Path) -> None:
    split = of_now(exp)
    (folder / "val").rename(folder / "valid")
    assert not PresentImages(exp).are_gone
    assert "has train/ and valid/, but no val/" in str(PresentImages(exp).compared_with(split)["images"])


def test_a_place_that_is_not_there_is_not_the_one_that_was_split(exp: Experiment) -> None:
    split = of_now(exp) | {"root": "/data/other"}
    other = experiment(Path("other.yaml"), dataset="tiny-imagenet", path="/data/typo")
    assert PresentImages(other).compared_with(split)["root"] == "/data/typo"


CHANGES = {
    "an image": lambda folder: save(folder / "val/cat/1.tif", picture(9, 9)),
    "an image more": lambda folder: save(folder / "train/cat/more.png", picture(9, 9)),
    "an image less": lambda folder: (folder / "train/cat/2.PNG").unlink(),
    "a class more": lambda folder: (folder / "train/more").mkdir(),
}


@pytest.mark.parametrize("change", CHANGES.values(), ids=CHANGES)
def test_a_change_after_the_images_were_looked_at_is_seen(
    change: Callable[[Path], object], exp: Experiment, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    split, images, now = of_now(exp), PresentImages(exp), time.time_ns()
    assert images.may_have_changed()  # nothing was looked at
    images.compared_with(split)
    assert images.may_have_changed()  # files that are milliseconds old
    monkeypatch.setattr(time, "time_ns", lambda: now + 10 * 10**9)
    images = PresentImages(exp)
    images.compared_with(split)
    assert not images.may_have_changed()
    change(folder)
    assert images.may_have_changed()
