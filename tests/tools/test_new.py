"""The verb new: an experiment file that fits the images, with every key explained, whose sweep then runs."""

import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

import cv2
import numpy as np
import pytest

from tests.helpers.image_projects import CHECKOUT, image_folder
from tests.helpers.pictures import picture, save
from tests.helpers.trained_project import prepare, train_all, write_images
from tools.common.errors import UserError
from tools.fetch import fetch
from tools.new import new
from tools.planning.state import check_templates
from tools.protocol.experiment import Experiment, load
from tools.protocol.runs import runs_of
from tools.split import split
from tools.training.engine import Engine


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_every_key_is_in_the_file_with_its_explanation(project: Path) -> None:
    file, _ = new("mine", image_folder(Path("images"), dict.fromkeys("abcd", 60), val=5))
    lines = [line for line in file.read_text().splitlines() if ": " in line and "  # " in line]
    assert [line.removeprefix("# ").partition(":")[0] for line in lines] == list(Experiment.model_fields)
    assert all(len(line.rpartition("  # ")[2]) > 10 for line in lines)


def test_a_key_that_is_not_set_shows_the_value_that_holds(project: Path) -> None:
    file, _ = new("mine", image_folder(Path("images"), dict.fromkeys("abcd", 60), val=5))
    for line in (
        "# max_iter: 300 ",
        "# train_batch_size: 50 ",
        "# crop_size: 24 ",
        "# fc8_outputs: 2 ",
        "# base_lr: 0.02 ",
    ):
        assert f"\n{line}" in file.read_text()
    with_all = file.read_text().replace("\n# ", "\n").split("\n\n")[1]  # all keys set to what they show
    Path("all.yaml").write_text(with_all)
    assert load(Path("all.yaml")).max_iter == 300


def test_small_gray_images_get_the_small_net_and_photographs_a_larger_one(project: Path) -> None:
    for name in "abcd":
        for part in ("train", "val"):
            save(Path("photographs") / part / name / "1.jpg", picture(300, 400))
            Path("gray", part, name).mkdir(parents=True)
            cv2.imwrite(f"gray/{part}/{name}/1.png", np.arange(28 * 28, dtype=np.uint8).reshape(28, 28))
    small, large = (load(new(name, Path(name))[0]) for name in ("gray", "photographs"))
    assert (small.gray, small.image_size, small.model) == (True, 28, "mini")
    assert (large.gray, large.image_size, large.model) == (False, 64, "alexnet_quarter")
    assert "400x300 pixels (median of 8 images), in colour" in Path("experiments/photographs.yaml").read_text()


def test_sizes_and_the_test_batch_fit(project: Path) -> None:
    exp = load(new("mine", image_folder(Path("images"), dict.fromkeys("abcd", 60), val=9))[0])
    assert (exp.full_size, exp.sizes, exp.test_batch_size) == (60, [60, 10, 3], 18)
    assert split(exp, 0)
    uneven = load(new("uneven", image_folder(Path("other"), {"a": 9, "b": 12, "c": 8, "d": 40}, val=3))[0])
    assert (uneven.full_size, uneven.sizes) == ("all", ["all", 2])
    assert split(uneven, 0)


def test_an_odd_number_of_classes_leaves_one_out_and_says_so(project: Path) -> None:
    file, lines = new("mine", image_folder(Path("images"), dict.fromkeys("abcde", 6), val=4))
    assert load(file).classes == 4 and split(load(file), 0)
    assert "note: 5 classes are an odd number; `classes: 4` leaves one out" in lines


def test_a_copy_of_tiny_imagenet_is_known_as_such(tiny_sample: Path, project: Path) -> None:
    exp = load(new("mine", tiny_sample)[0])
    assert (exp.dataset, exp.full_size, exp.model) == ("tiny-imagenet", 60, "alexnet_quarter")


def test_the_folders_own_images_come_before_a_published_set_inside_it(tiny_sample: Path, project: Path) -> None:
    images = image_folder(project / "images", dict.fromkeys("abcd", 6))
    (images / "tiny-imagenet-200").symlink_to(tiny_sample)
    file, lines = new("mine", images)
    assert load(file).dataset == "folder" and lines[0].startswith("4 classes, 24 training images")
    (project / "downloads").mkdir()
    (project / "downloads/tiny-imagenet-200").symlink_to(tiny_sample)
    assert load(new("inside", project / "downloads")[0]).dataset == "tiny-imagenet"


def test_of_several_data_sets_in_a_folder_one_is_to_be_named(tiny_sample: Path, project: Path) -> None:
    for name in ("old", "recent"):
        image_folder(project / "images" / name, dict.fromkeys("abcd", 6))
    with pytest.raises(UserError, match=r"images: holds 2 data sets \(old, recent\); name one of them"):
        new("mine", project / "images")
    (project / "images/tiny").symlink_to(tiny_sample)
    with pytest.raises(UserError, match=r"images: holds 3 data sets \(old, recent, tiny\); name one of them"):
        new("mine", project / "images")


def test_a_folder_that_may_not_be_read_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    """Root may read all, so it becomes nobody."""
    with tempfile.TemporaryDirectory() as disk:
        Path(disk).chmod(0o755)
        (Path(disk) / "images").mkdir(0)
        monkeypatch.chdir(disk)
        was = os.geteuid()
        try:
            if was == 0:
                os.seteuid(65534)
            with pytest.raises(UserError, match=r"/images: cannot be read: Permission denied; give yourself access"):
                new("mine", Path(disk) / "images")
        finally:
            os.seteuid(was)
            monkeypatch.undo()


def test_what_split_will_refuse_is_told(project: Path) -> None:
    images = image_folder(Path("images"), dict.fromkeys("abcd", 6))
    (images / "train/a/0.png").write_text("no image")
    (images / "train/b/7.png").symlink_to("gone.png")
    file, lines = new("mine", images)
    right = "replace them, or set `on_bad_image: skip`"
    assert f"note: missing images, which a list or a link names: 1 (train/b/7.png); {right}" in lines
    assert f"note: cannot be read, of 28 images that were looked at: 1 (train/a/0.png); {right}" in lines
    with pytest.raises(UserError, match="1 image is missing or cannot be read"):
        split(load(file), 0)


@pytest.mark.parametrize("folder", ["with space", "it's #1: \u732b", "~tilde"])
def test_any_path_is_written_so_that_it_is_read_again(project: Path, folder: str) -> None:
    exp = load(new("mine", image_folder(Path(folder).absolute(), dict.fromkeys("abcd", 6)))[0])
    assert exp.path == str(project / folder)


@pytest.mark.parametrize(
    ("name", "place", "message"),
    [
        ("there", "images", r"experiments/there.yaml: is there already; choose another name, or remove it first"),
        ("../up", "images", r"'../up': not a name for an experiment; use letters"),
        ("a b", "images", r"'a b': not a name"),
        ("x" * 250, "images", r"^experiments/x{250}.yaml: a name of 250 bytes, at most 237; choose a shorter one"),
        ("mine", "~nobody-of-this-name", r"~nobody-of-this-name: not a folder; name the one"),
        ("mine", "nowhere", r"nowhere: not a folder; name the one that holds train/<class>"),
        ("mine", "images/train", r"train has no train/ and no val/, but the folders a, b, c, d; put the images"),
        ("mine", "two", r"two: 2 classes; 4 are needed, two in each half"),
    ],
)
def test_what_cannot_be_is_one_error_and_nothing_is_written(project: Path, name: str, place: str, message: str) -> None:
    image_folder(Path("images"), dict.fromkeys("abcd", 6))
    image_folder(Path("two"), dict.fromkeys("ab", 6))
    Path("experiments").mkdir()
    Path("experiments/there.yaml").write_text("mine\n")
    with pytest.raises(UserError, match=message):
        new(name, Path(place))
    assert [(file.name, file.read_text()) for file in Path("experiments").iterdir()] == [("there.yaml", "mine\n")]


def test_a_copy_of_tiny_imagenet_with_val_sorted_by_class_is_a_folder_without_its_list(
    tiny_sample: Path, project: Path
) -> None:
    copy = shutil.copytree(tiny_sample, project / "tiny")
    for line in (copy / "val/val_annotations.txt").read_text().splitlines():
        name, wnid = line.split("\t")[:2]
        (copy / "val" / wnid).mkdir(exist_ok=True)
        (copy / "val/images" / name).rename(copy / "val" / wnid / name)
    with pytest.raises(UserError, match=r"\(for `new`: remove val/val_annotations.txt\)"):
        new("mine", copy)
    (copy / "val/val_annotations.txt").unlink()
    assert load(new("mine", copy)[0]).dataset == "folder"


@pytest.mark.parametrize("end", ["\n", "\r", "\x85", "\u2028"])
def test_a_path_with_a_line_end_is_refused(project: Path, end: str) -> None:
    image_folder(Path(f"a{end}b"), dict.fromkeys("abcd", 6))
    with pytest.raises(UserError, match=r"a\\\w+b': the path is not one line of text; rename or move the folder"):
        new("mine", Path(f"a{end}b"))
    assert not Path("experiments").exists()


def test_a_folder_of_the_longest_name_can_be_split(project: Path) -> None:
    place = image_folder(Path("\u732b" * 85), dict.fromkeys("abcd", 6))
    assert len(os.fsencode(place)) == 255
    exp = load(new("mine", place)[0])
    assert fetch(exp) and split(exp, 0)


def test_images_that_cannot_be_named_are_refused(project: Path) -> None:
    """`fetch` and the others could not: they keep a folder of that name in data/."""
    place = Path(os.fsdecode(b"caf\xe9"))
    image_folder(place, dict.fromkeys("abcd", 6))
    with pytest.raises(UserError, match=r"/caf\\xe9: the path is not UTF-8; rename or move the folder"):
        new("mine", place)
    place.rename("images")
    Path("images/train/a/0.png").rename("images/train/a/0.png\n")
    with pytest.raises(UserError, match=r"images: 'train/a/0.png\\n': not one line of UTF-8 text"):
        new("mine", Path("images"))
    assert not Path("experiments").exists()


@pytest.mark.slow
def test_what_it_wrote_runs_on_real_caffe(project: Path, engine: Engine) -> None:
    write_images(project / "images")
    file, _ = new("mine", project / "images")
    exp = load(file, "max_iter=4 test_interval=4 conditions=[base,S1T] directions=[A2B] sizes=[12]")
    check_templates(exp, engine)
    prepare(exp)
    train_all(exp, engine)
    assert all(run.manifest.exists() for run in runs_of(exp, engine.name))


def test_the_command_says_what_to_run_next(project: Path) -> None:
    image_folder(Path("images"), dict.fromkeys("abcd", 6))
    command = [sys.executable, "-m", "tools", "new", "mine", "images"]
    said = subprocess.run(
        command, env=os.environ | {"PYTHONPATH": str(CHECKOUT)}, capture_output=True, text=True
    ).stdout
    assert said.startswith(
        "experiments/mine.yaml: written\n  4 classes, 24 training images (6 a class) and 4 validation"
    )
    assert said.endswith(
        "next: `make mine-sweep DRY_RUN=1` lists the runs and measures the time; `make mine-sweep` does them\n"
    )
