"""Images that a list names and nobody can read: found once, remembered while no file changes, refused by name."""

import os
import shutil
from pathlib import Path

import pytest

from tests.helpers.image_projects import experiment
from tests.helpers.pictures import save
from tools.common.files import read_json
from tools.datasets import open_dataset
from tools.datasets.checked import CheckedImages, bad_images_error
from tools.datasets.folder import Folder
from tools.protocol.experiment import Experiment
from tools.protocol.layout import dataset_folder

ALL = ["train/cat/1 one.jpg", "train/cat/2.PNG", "train/cat/deeper/3.bmp", "val/cat/1.tif"]


@pytest.fixture
def exp(folder: Path, root: Path) -> Experiment:
    """The folder of images, one of which is cut off and one of which is text; the cwd is a project of its own."""
    (folder / "train/cat/2.PNG").write_bytes((folder / "train/cat/2.PNG").read_bytes()[:60])
    (folder / "val/cat/1.tif").write_text("no image")
    return experiment(Path("exp.yaml"), dataset="folder", path=folder)


def unreadable(exp: Experiment, references: list[str]) -> dict[str, str]:
    checked = CheckedImages(exp, open_dataset(exp)).check(references, references)
    return {name: image.fault for name, image in sorted(checked.items()) if image.fault}


def test_every_image_that_cannot_be_read_is_found_with_its_reason(exp: Experiment) -> None:
    bad = unreadable(exp, ALL)
    assert list(bad) == ["train/cat/2.PNG", "val/cat/1.tif"]
    assert all(bad.values())
    assert read_json(dataset_folder(exp) / "checked.json")["unreadable"] == bad


def test_images_are_read_again_only_where_a_file_has_changed(
    exp: Experiment, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    bad = unreadable(exp, ALL)
    with monkeypatch.context() as patch:
        patch.setattr(Folder, "read", lambda *arguments: pytest.fail("read again"))
        assert unreadable(exp, ALL) == bad
    save(folder / "val/cat/1.tif")
    assert list(unreadable(exp, ALL)) == ["train/cat/2.PNG"]
    shutil.copy(folder / "train/cat/1 one.jpg", folder / "train/cat/2.PNG")
    assert unreadable(exp, ALL) == {}


def test_an_image_that_is_gone_is_unreadable_too(exp: Experiment, folder: Path) -> None:
    (folder / "train/cat/1 one.jpg").unlink()
    assert list(unreadable(exp, ALL[:1])) == ALL[:1]


def test_the_refusal_shows_the_first_and_a_file_lists_all(exp: Experiment, folder: Path) -> None:
    data = open_dataset(exp)
    one = str(bad_images_error(exp, data, {"a.png": "is cut off"}))
    assert one.startswith("exp.yaml: on_bad_image: 1 image is missing or cannot be read:")
    assert f"\n  {folder}/a.png: is cut off\n" in one and "more" not in one
    assert f"\n  {folder}/caf\\xe9.png: " in str(
        bad_images_error(exp, data, {os.fsdecode(b"caf\xe9.png"): "is cut off"})
    )
    many = str(bad_images_error(exp, data, {f"{i:02}.png": "is cut off" for i in range(25)}))
    assert "25 images are missing" in many and many.count("is cut off") == 20 and "... and 5 more" in many
    assert "set on_bad_image=skip" in many
    assert len((dataset_folder(exp) / "bad-images.txt").read_text().splitlines()) == 25
