"""tools/datasets: each layout as it lies on disk."""

import gzip
import os
import pickle
import shutil
from pathlib import Path

import numpy as np
import pytest

from tests.helpers.pictures import picture, save
from tools.common.errors import UserError
from tools.datasets import BadImage, open_dataset
from tools.datasets.fashion_mnist import FashionMnist
from tools.datasets.folder import Folder
from tools.datasets.miniplaces import MiniPlaces
from tools.datasets.tiny_imagenet import TinyImageNet
from tools.protocol.experiment import Experiment, load


def experiment(tmp_path: Path, dataset: str, path: Path | None) -> Experiment:
    place = f"path: {path}\n" if path else ""
    file = tmp_path / "exp.yaml"
    file.write_text(f"dataset: {dataset}\n{place}image_size: 8\nsizes: [1]\nmodel: mini\nsolver: mini\n")
    return load(file)


# folder -------------------------------------------------------------------------------------------------------------


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    root = tmp_path / "mine"
    save(root / "train/cat/2.PNG")
    save(root / "train/cat/1 one.jpg")
    save(root / "train/cat/deeper/3.bmp")
    save(root / "train/dog house/1.jpeg")
    save(root / "val/cat/1.tif")
    save(root / "val/dog house/1.webp")
    return root


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
    with pytest.raises(UserError, match=r"mine: 'train/cat/.*': no line of UTF-8 text"):
        Folder(folder).scan()


def test_a_folder_without_images_is_refused(tmp_path: Path) -> None:
    (tmp_path / "train/cat").mkdir(parents=True)
    (tmp_path / "val").mkdir()
    with pytest.raises(UserError, match=r"train: no images in class folders"):
        Folder(tmp_path).scan()


# tiny-imagenet ------------------------------------------------------------------------------------------------------


@pytest.fixture
def tiny(tiny_sample: Path, tmp_path: Path) -> Path:
    """A copy to spoil: its images are links, its lists are its own."""

    def copy(source: str, target: str) -> None:
        (os.link if source.endswith(".JPEG") else shutil.copyfile)(source, target)

    return shutil.copytree(tiny_sample, tmp_path / "tiny", copy_function=copy)


def test_the_real_sample_of_tiny_imagenet_is_read(tiny: Path) -> None:
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
    assert scan.missing == [lost]
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


def test_a_broken_line_of_the_annotations_is_named(tiny: Path) -> None:
    annotations = tiny / "val/val_annotations.txt"
    annotations.write_text(annotations.read_text() + "val_77.JPEG n02123045\n")
    with pytest.raises(UserError, match=r"val_annotations.txt:201: found 'val_77.JPEG n02123045'; right is"):
        TinyImageNet(tiny).scan()


# miniplaces ---------------------------------------------------------------------------------------------------------


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
    assert scan.missing == ["train/a/abbey/00000002.jpg", "val/00000004.jpg"]
    assert scan.train["a/abbey"] == ["train/a/abbey/00000001.jpg", "train/a/abbey/00000003.jpg"]
    assert scan.val["c/church/outdoor"] == ["val/00000001.jpg"]


@pytest.mark.parametrize(
    ("file", "line", "message"),
    [
        ("train.txt", "train/a/abbey/1.jpg", r"train.txt:7: found 'train/a/abbey/1.jpg'; right is `path label`"),
        ("train.txt", "abbey/1.jpg 0", r"train.txt:7: found 'abbey/1.jpg'; right is train/<class>/<image>"),
        ("train.txt", "train/b/bar/1.jpg 0", r"train.txt:7: label 0 is b/bar here, a/abbey above"),
        ("train.txt", "train/a/abbey/1.jpg 7", r"train.txt: a class has two labels"),
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


# fashion-mnist ------------------------------------------------------------------------------------------------------


def idx(path: Path, values: np.ndarray) -> None:
    header = bytes([0, 0, 8, values.ndim]) + b"".join(n.to_bytes(4, "big") for n in values.shape)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(gzip.compress(header + values.astype(np.uint8).tobytes()))


@pytest.fixture
def fashion(tmp_path: Path) -> Path:
    root = tmp_path / "fashion"
    idx(root / "train-images-idx3-ubyte.gz", np.arange(6 * 28 * 28).reshape(6, 28, 28) % 251)
    idx(root / "train-labels-idx1-ubyte.gz", np.array([2, 0, 2, 1, 0, 1]))
    idx(root / "t10k-images-idx3-ubyte.gz", np.arange(3 * 28 * 28).reshape(3, 28, 28) % 239)
    idx(root / "t10k-labels-idx1-ubyte.gz", np.array([1, 2, 0]))
    return root


def test_fashion_mnist_refers_to_images_by_their_place(fashion: Path) -> None:
    scan = FashionMnist(fashion).scan()
    assert scan.classes == ["0", "1", "2"]
    assert scan.train["0"] == ["train/00001", "train/00004"]
    assert scan.train["2"] == ["train/00000", "train/00002"]
    assert scan.val == {"0": ["val/00002"], "1": ["val/00000"], "2": ["val/00001"]}


def test_fashion_mnist_is_gray_or_three_equal_channels(fashion: Path) -> None:
    data = FashionMnist(fashion)
    expected = (np.arange(6 * 28 * 28).reshape(6, 28, 28) % 251).astype(np.uint8)[4]
    np.testing.assert_array_equal(data.read("train/00004", gray=True), expected)
    colour = data.read("train/00004", gray=False)
    assert colour.shape == (28, 28, 3)
    assert (colour == expected[:, :, None]).all()


def test_fashion_mnist_can_be_sent_to_a_process_without_its_images(fashion: Path) -> None:
    data = FashionMnist(fashion)
    before = data.read("val/00002", gray=True)
    sent = pickle.dumps(data)
    assert len(sent) < 1000
    np.testing.assert_array_equal(pickle.loads(sent).read("val/00002", gray=True), before)


@pytest.mark.parametrize("reference", ["train/99999", "val/x", "test/00000"])
def test_a_reference_that_fashion_mnist_has_not_is_a_bad_image(fashion: Path, reference: str) -> None:
    with pytest.raises(BadImage, match=f"no image {reference}"):
        FashionMnist(fashion).read(reference)


def test_a_cut_off_idx_file_is_named(fashion: Path) -> None:
    file = fashion / "train-images-idx3-ubyte.gz"
    file.write_bytes(file.read_bytes()[:-20])
    with pytest.raises(UserError, match=r"train-images-idx3-ubyte.gz: cannot be read .* fetch again"):
        FashionMnist(fashion).scan()
    file.write_bytes(gzip.compress(b"\0\0\x08\x03" + bytes(100)))
    with pytest.raises(UserError, match=r"train-images-idx3-ubyte.gz: 88 bytes for a shape of \(0, 0, 0\)"):
        FashionMnist(fashion).scan()
    file.write_bytes(gzip.compress(b"no idx"))
    with pytest.raises(UserError, match=r"not an IDX file of bytes"):
        FashionMnist(fashion).scan()


def test_labels_for_other_images_are_refused(fashion: Path) -> None:
    idx(fashion / "train-labels-idx1-ubyte.gz", np.array([0, 1, 2]))
    with pytest.raises(UserError, match=r"train-labels-idx1-ubyte.gz: 3 labels for 6 images"):
        FashionMnist(fashion).scan()


# opening ------------------------------------------------------------------------------------------------------------


def test_a_path_may_name_the_data_set_or_the_folder_around_it(tiny: Path, tmp_path: Path) -> None:
    assert open_dataset(experiment(tmp_path, "tiny-imagenet", tiny)).root == tiny
    around = tmp_path / "around"
    around.mkdir()
    tiny.rename(around / "tiny-imagenet-200")
    (around / "__MACOSX").mkdir()
    found = open_dataset(experiment(tmp_path, "tiny-imagenet", around))
    assert found.root == around / "tiny-imagenet-200"
    assert found.name == "tiny-imagenet"


def test_a_path_to_another_data_set_is_refused_with_its_line_and_the_right_layout(folder: Path, tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"yaml:2: path: .*mine is no miniplaces; right is images/train/.*train.txt"):
        open_dataset(experiment(tmp_path, "miniplaces", folder))
    with pytest.raises(UserError, match=r"exp.yaml:2: path: .*gone does not exist"):
        open_dataset(experiment(tmp_path, "miniplaces", tmp_path / "gone"))


def test_a_data_set_that_is_not_here_yet_says_how_to_fetch_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(UserError, match=r"miniplaces is not here yet; run `python -m tools fetch .*exp.yaml`"):
        open_dataset(experiment(tmp_path, "miniplaces", None))
