"""Opening the data set of an experiment: where its images are, and the message if they are not there."""

import os
import tempfile
from pathlib import Path

import pytest

from tools.common.errors import UserError
from tools.common.files import write_atomic
from tools.datasets import find_in, open_dataset
from tools.datasets.tiny_imagenet import TinyImageNet
from tools.protocol.experiment import Experiment, load


def experiment(tmp_path: Path, dataset: str, path: Path | None) -> Experiment:
    place = f"path: {path}\n" if path else ""
    file = tmp_path / "exp.yaml"
    file.write_text(f"dataset: {dataset}\n{place}image_size: 8\nsizes: [1]\nmodel: mini\nsolver: mini\n")
    return load(file)


def test_a_path_may_name_the_data_set_or_the_folder_around_it(tiny: Path, tmp_path: Path) -> None:
    assert open_dataset(experiment(tmp_path, "tiny-imagenet", tiny)).root == tiny
    around = tmp_path / "around"
    around.mkdir()
    tiny.rename(around / "tiny-imagenet-200")
    (around / "__MACOSX").mkdir()
    found = open_dataset(experiment(tmp_path, "tiny-imagenet", around))
    assert found.root == around / "tiny-imagenet-200"
    assert isinstance(found, TinyImageNet)


def test_a_folder_beside_the_data_set_that_may_not_be_read_is_passed_over() -> None:
    """As lost+found on a disk of its own, or a folder of somebody else's. Root may read all, so it becomes nobody."""
    with tempfile.TemporaryDirectory() as name:
        disk = Path(name)
        disk.chmod(0o755)
        for part in ("train", "val"):
            (disk / "mine" / part).mkdir(parents=True)
            (disk / "#recycle/mine" / part).mkdir(parents=True)
        (disk / "theirs").mkdir(0)
        assert find_in("folder", disk / "mine") == disk / "mine"
        was = os.geteuid()
        try:
            if was == 0:
                os.seteuid(65534)
            assert find_in("folder", disk) == disk / "mine"
        finally:
            os.seteuid(was)


def test_a_path_to_another_data_set_is_refused_with_its_line_and_the_right_layout(folder: Path, tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"yaml:2: path: .*mine is not miniplaces; right is images/train/.*train.txt"):
        open_dataset(experiment(tmp_path, "miniplaces", folder))
    with pytest.raises(UserError, match=r"exp.yaml:2: path: .*gone does not exist"):
        open_dataset(experiment(tmp_path, "miniplaces", tmp_path / "gone"))


def test_a_data_set_that_is_not_here_yet_says_how_to_fetch_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(UserError, match=r"miniplaces is not here yet; run `python -m tools fetch .*exp.yaml`"):
        open_dataset(experiment(tmp_path, "miniplaces", None))


def test_of_several_data_sets_in_the_folder_one_is_to_be_named(tmp_path: Path) -> None:
    for name in "abcdef":
        for part in ("train", "val"):
            (tmp_path / "images" / name / part).mkdir(parents=True)
    found = r"images holds 6 data sets \(a, b, c, d, e, ...\); name one of them"
    with pytest.raises(UserError, match=rf"exp.yaml:2: path: .*{found}"):
        open_dataset(experiment(tmp_path, "folder", tmp_path / "images"))


@pytest.mark.parametrize(
    ("folders", "found"),
    [
        (
            ["train/cat"],
            r"has train/ but no val/; put some images of every class into val/<class>/; right is train/<cl",
        ),
        (["val/cat"], r"has val/ but no train/; put some images of every class into train/<class>/"),
        (["train/cat", "test/cat"], r"has train/ and test/, but no val/; if test/ is meant, rename it"),
        (
            ["train/cat", "test/cat", "valid/cat"],
            r"has train/ and valid/ and test/, but no val/; if valid/ is meant, rename it",
        ),
        (
            ["train/cat", "Validation/cat"],
            r"has train/ and Validation/, but no val/; if Validation/ is meant, rename it",
        ),
        (
            ["cat", "dog"],
            r"has no train/ and no val/, but the folders cat, dog; put the images of each class into train/",
        ),
        ([], r"has no train/ and no val/, but no folder in it"),
    ],
)
def test_a_folder_without_train_or_val_is_told_what_it_has(tmp_path: Path, folders: list[str], found: str) -> None:
    for name in ("images", *(f"images/{name}" for name in folders)):
        (tmp_path / name).mkdir(parents=True, exist_ok=True)
    with pytest.raises(UserError, match=rf"exp.yaml:2: path: {tmp_path}/images {found}"):
        open_dataset(experiment(tmp_path, "folder", tmp_path / "images"))


def test_val_that_is_a_link_to_nothing_is_named_with_its_target(tmp_path: Path) -> None:
    (tmp_path / "images/train/cat").mkdir(parents=True)
    (tmp_path / "images/val").symlink_to("/mnt/disk2/val")
    lost = "has val -> /mnt/disk2/val, a link that leads nowhere; is the disk mounted"
    with pytest.raises(UserError, match=f"path: {tmp_path}/images {lost}"):
        open_dataset(experiment(tmp_path, "folder", tmp_path / "images"))


def test_a_path_may_begin_with_the_home_folder(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(folder.parent))
    assert open_dataset(experiment(folder.parent, "folder", Path("~") / folder.name)).root == folder


@pytest.mark.parametrize("text", ["{}", "[]", "", '{"folder": "x"}'])
def test_a_record_of_fetch_that_is_damaged_counts_as_none(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, text: str
) -> None:
    monkeypatch.chdir(tmp_path)
    write_atomic(tmp_path / "data/miniplaces/fetch.json", text)
    with pytest.raises(UserError, match="miniplaces is not here yet; run `python -m tools fetch"):
        open_dataset(experiment(tmp_path, "miniplaces", None))
