"""Images that changed after `split`: split, pack, mean and their stages notice it, and only then."""

import os
import shutil
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import pytest

from tests.helpers.file_stamp import stamp
from tests.helpers.image_projects import folder_experiment, image_folder, packed, read_list, tiny
from tools.common.errors import UserError
from tools.common.files import load_json
from tools.datasets import open_dataset
from tools.fetch import fetch
from tools.mean import mean
from tools.pack import pack
from tools.planning.stages import mean_stage, pack_stage, split_stage
from tools.protocol.layout import dataset_folder, split_of
from tools.split import split


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


def replace_keeping_size_and_time(root: Path) -> None:
    """Another image of the same size in bytes, with the time of the old one, as `cp -p` and `rsync -t` leave it."""
    image = root / "train/a/0.png"
    before, pixels = image.stat(), cv2.imread(str(image))
    for value in range(256):
        data = cv2.imencode(".png", np.full_like(pixels, value))[1].tobytes()
        if len(data) == before.st_size and data != image.read_bytes():
            break
    image.write_bytes(data)
    os.utime(image, ns=(before.st_atime_ns, before.st_mtime_ns))
    assert image.stat().st_size == before.st_size and image.stat().st_mtime_ns == before.st_mtime_ns


def add_classes(root: Path) -> None:
    for name in ("c", "d"):
        for part in ("train", "val"):
            shutil.copytree(root / part / "a", root / part / name)


CHANGES = {
    "an image more": lambda root: shutil.copy(root / "train/a/0.png", root / "train/a/more.png"),
    "an image less": lambda root: (root / "train/a/0.png").unlink(),
    "an image replaced": replace_keeping_size_and_time,
    "a validation image replaced": lambda root: cv2.imwrite(str(root / "val/b/0.png"), np.zeros((3, 2, 3), np.uint8)),
    "two classes more": add_classes,
    "a class less in train": lambda root: shutil.rmtree(root / "train/a"),
}


@pytest.mark.parametrize("change", CHANGES.values(), ids=CHANGES)
def test_images_that_changed_are_noticed_by_every_stage(project: Path, change: Callable[[Path], object]) -> None:
    root = image_folder(Path("images"), {"a": 4, "b": 4})
    exp = folder_experiment(root, sizes=[2], image_size=4)
    for stage in (split, pack, mean):
        assert stage(exp, 0) and not stage(exp, 0)
    change(root)
    assert not any(stage(exp, 0).is_complete for stage in (split_stage, pack_stage, mean_stage))
    for stage in (pack, mean):
        with pytest.raises(
            UserError, match=r"the images in \S+ are not those that it was made of; run `python -m tools s"
        ):
            stage(exp, 0)
    if (root / "train/a").exists():
        assert split(exp, 0) and pack(exp, 0)
        mean(exp, 0)
        assert all(stage(exp, 0).is_complete for stage in (split_stage, pack_stage, mean_stage))


def test_a_renamed_folder_is_told_as_fetch_tells_it(project: Path) -> None:
    root = image_folder(Path("images"), {"a": 4, "b": 4})
    exp = folder_experiment(root, sizes=[2], image_size=4)
    for stage in (split, pack, mean):
        stage(exp, 0)
    (root / "val").rename(root / "valid")
    for stage in (pack, mean):
        with pytest.raises(
            UserError, match=r"the images in \S+ are not those that it was made of; run `python -m tools"
        ):
            stage(exp, 0)
    for verb in (fetch, lambda exp: split(exp, 0)):
        with pytest.raises(UserError, match="images has train/ and valid/, but no val/; if valid/ is meant, rename it"):
            verb(exp)
    shutil.rmtree(root)
    assert not any(stage(exp, 0) for stage in (split, pack, mean))


def test_only_lmdbs_of_lists_with_a_replaced_image_are_packed_again(project: Path) -> None:
    root = image_folder(Path("images"), {"a": 4, "b": 4})
    exp = packed(folder_experiment(root, sizes=[2], image_size=4))
    before = {file: stamp(file) for file in Path("data").rglob("data.mdb")}
    half = "A" if load_json(split_of(exp, 0).marker)["classes"]["A"] == ["a"] else "B"
    replace_keeping_size_and_time(root)
    packed(exp)
    drawn = ("train/a/0.png", 0) in read_list(split_of(exp, 0).train_list(half, 2))
    changed = {f"{file.parent.parent.name}/{file.parent.name}" for file in before if stamp(file) != before[file]}
    assert changed == {f"{half}/nall", *([f"{half}/n0002"] if drawn else [])}


@pytest.mark.parametrize("name", ["touched", "copied elsewhere and back"])
def test_files_with_other_times_and_the_same_bytes_are_the_same_images(project: Path, name: str) -> None:
    root = image_folder(Path("images"), {"a": 3, "b": 3})
    exp = folder_experiment(root)
    split(exp, 0)
    if name == "touched":
        for image in root.rglob("*.png"):
            os.utime(image, (1, 1))
    else:
        shutil.copytree(root, "copy")
        shutil.rmtree(root)
        shutil.move("copy", root)
    assert split_stage(exp, 0).is_complete and not split(exp, 0)


def test_a_mistyped_path_is_not_complete_because_another_one_was_split(tiny_sample: Path, project: Path) -> None:
    exp = tiny(tiny_sample, full_size=5, sizes=[5])
    for stage in (split, pack, mean):
        stage(exp, 0)
    typo = tiny(Path("/data/tiny-imagenet-200-typo"), full_size=5, sizes=[5])
    for stage in (split, pack, mean):
        with pytest.raises(UserError, match="/data/tiny-imagenet-200-typo"):
            stage(typo, 0)


@pytest.mark.parametrize("damage", ["{}", "[]", "", '{"files": {}}'])
def test_a_record_of_read_images_that_is_damaged_counts_as_none(project: Path, damage: str) -> None:
    exp = folder_experiment(image_folder(Path("images"), {"a": 3, "b": 3}), seeds=[0, 1])
    split(exp, 0)
    (dataset_folder(exp) / "checked.json").write_text(damage)
    assert split_stage(exp, 0).is_complete and split(exp, 1)


def test_an_image_that_is_missing_in_a_class_that_is_not_drawn_stops_nothing(project: Path) -> None:
    root = image_folder(Path("images"), dict.fromkeys("abcd", 3))
    exp = folder_experiment(root, classes=2)
    split(exp, 0)
    drawn = {name for half in load_json(split_of(exp, 0).marker)["classes"].values() for name in half}
    other = min(set("abcd") - drawn)
    (root / "train" / other / "gone.png").symlink_to("gone")
    assert split(exp, 0) and load_json(split_of(exp, 0).marker)["missing"] == {"count": 0, "first": []}
    (root / "train" / min(drawn) / "gone.png").symlink_to("gone")
    with pytest.raises(
        UserError, match=rf"1 image is missing or cannot be read:\n  \S+/{min(drawn)}/gone.png: no such"
    ):
        split(exp, 0)
    lenient = folder_experiment(root, classes=2, on_bad_image="skip")
    assert split(lenient, 0) and load_json(split_of(lenient, 0).marker)["missing"]["count"] == 1
    for part in ("train", "val"):  # a class without any image: nobody draws it, and nobody may lose it
        (root / part / "e").mkdir()
        (root / part / "e/gone.png").symlink_to("gone")
    assert split(lenient, 0) and load_json(split_of(lenient, 0).marker)["missing"]["count"] == 3


def test_images_that_were_lost_after_unpacking_are_told(tiny_zip: Path, project: Path) -> None:
    exp = tiny(tiny_zip)
    fetch(exp)
    (train,) = Path("data/tiny-imagenet").glob("unpacked-*/*/train")
    shutil.rmtree(train / "n02123045")
    next((train / "n04149813/images").iterdir()).unlink()
    lost = (
        r"has 19 classes, 1,139 training and 190 validation images, where 20 classes, 1,200 training and 200 .* were "
        r"unpacked; remove data/tiny-imagenet/unpacked-\w+ and fetch again, or remove \S+fetch.json to use what is"
    )
    with pytest.raises(UserError, match=lost):
        fetch(exp)
    marker = Path("data/tiny-imagenet/fetch.json")
    before = marker.read_bytes()
    marker.unlink()
    assert fetch(exp) and load_json(marker)["counts"]["train"] == 1139 and not fetch(exp)
    marker.write_bytes(before)
    shutil.rmtree(train.parents[1])
    assert fetch(exp) and len(open_dataset(exp).scan().classes) == 20
