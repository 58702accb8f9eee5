"""Packing: each LMDB is the one that Caffe's convert_imageset would make of the same list."""

import shutil
import subprocess
from dataclasses import replace
from pathlib import Path

import pytest

from caffeformat import datum
from tests.helpers.image_projects import (
    as_of_an_earlier_version,
    digests,
    experiment,
    image_folder,
    inside,
    packed,
    read_list,
    records,
    tiny,
)
from tests.helpers.pictures import picture, save
from tools.common.files import read_json, sha256
from tools.datasets.packing import shape
from tools.pack import pack
from tools.protocol.layout import Split, split_of


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture(scope="module")
def sample(tiny_sample: Path, tmp_path_factory: pytest.TempPathFactory) -> Split:
    """The sample of Tiny-ImageNet, packed: sizes 60, 20 and 5 of 10 + 10 classes. Only to be read."""
    with inside(tmp_path_factory.mktemp("packed")) as folder:
        place = split_of(packed(tiny(tiny_sample)), 0)
        return replace(place, folder=folder / place.folder)


# beside convert_imageset ----------------------------------------------------------------------------------------------


def converted(caffe_tools: Path, root: Path, lines: list[tuple[str, int]], folder: Path, *flags: str) -> list[tuple]:
    """What real convert_imageset makes of these (reference, label), in this order."""
    listed = folder / "converted.txt"
    listed.write_text("".join(f"{reference} {label}\n" for reference, label in lines))
    command = [caffe_tools / "convert_imageset", *flags, f"{root}/", listed, folder / "converted"]
    subprocess.run(command, check=True, capture_output=True)
    return records(folder / "converted")


def in_packed_order(made: list[tuple[bytes, bytes]], lines: list[tuple[str, int]]) -> list[tuple[str, int]]:
    labels = dict(lines)
    return [(reference, labels[reference]) for reference in (key[9:].decode() for key, _ in made)]


@pytest.mark.parametrize("name", ["A/n0060", "B/n0005", "B/val"])
def test_keys_and_datums_are_those_of_convert_imageset(
    sample: Split, name: str, caffe_tools: Path, tiny_sample: Path, tmp_path: Path
) -> None:
    lines = read_list(sample.folder / f"{name}.txt")
    made = records(sample.folder / sample.images / name)
    assert sorted(in_packed_order(made, lines)) == sorted(lines)
    assert made == converted(caffe_tools, tiny_sample, in_packed_order(made, lines), tmp_path)


SIZES = [
    (32, False),
    (28, True),
    *(pytest.param(*x, marks=pytest.mark.slow) for x in ((50, False), (100, False), (64, True))),
]


@pytest.mark.parametrize(("size", "gray"), SIZES)
def test_so_they_are_resized_or_gray(
    size: int, gray: bool, caffe_tools: Path, tiny_sample: Path, project: Path
) -> None:
    exp = packed(tiny(tiny_sample, image_size=size, gray=gray, full_size=5, sizes=[5]))
    place = split_of(exp, 0)
    made = records(place.train_lmdb("A", 5))
    lines = in_packed_order(made, read_list(place.train_list("A", 5)))
    flags = [f"--resize_width={size}", f"--resize_height={size}", *(["--gray"] if gray else [])]
    assert made == converted(caffe_tools, tiny_sample, lines, project, *flags)
    assert datum.decode(made[0][1])[0].shape == shape(exp) == (1 if gray else 3, size, size)


def test_images_of_any_size_become_one_size(caffe_tools: Path, project: Path) -> None:
    for part in ("train", "val"):
        for name in ("a b", "c"):
            for height, width in ((48, 64), (128, 128), (7, 90)):
                save(Path("images") / part / name / f"{height} {width}.png", picture(height, width))
    exp = packed(
        experiment(Path("exp.yaml"), dataset="folder", path=Path("images").resolve(), image_size=24, sizes=[3])
    )
    place = split_of(exp, 0)
    made = records(place.val_lmdb("A"))
    lines = in_packed_order(made, read_list(place.val_list("A")))
    sizes = ("--resize_width=24", "--resize_height=24")
    assert made == converted(caffe_tools, project / "images", lines, project, *sizes)


# what an LMDB holds ---------------------------------------------------------------------------------------------------


def test_every_list_is_an_lmdb_with_as_many_entries(sample: Split) -> None:
    each = {"n0060": 600, "n0020": 200, "n0005": 50, "val": 100}
    assert digests(sample).keys() == {f"{half}/{name}" for half in "AB" for name in each}
    for half in "AB":
        for name, count in each.items():
            assert len(records(sample.folder / sample.images / half / name)) == count


def test_pack_json_tells_what_an_lmdb_was_made_of(sample: Split) -> None:
    listed = sha256(sample.train_list("A", 20))
    told = read_json(sample.train_lmdb("A", 20) / "pack.json")
    wanted = {"list_sha256": listed, "entries": 200, "skipped": 0, "shape": [3, 64, 64], "shuffle_seed": 0}
    assert wanted.items() <= told.items()
    marks = read_json(sample.packed)["lmdbs"]
    assert marks["A/n0020"] == listed
    assert marks.keys() == digests(sample).keys()


@pytest.mark.parametrize("name", ["A/n0060", "A/n0020", "A/n0005", "B/val"])
def test_every_list_is_shuffled(sample: Split, name: str) -> None:
    """Caffe reads in the order of the keys: in that of the lists, a batch would hold one class."""
    made = records(sample.folder / sample.images / name)
    labels = [datum.decode(value)[1] for _, value in made]
    assert set(labels) == set(range(10))
    assert len(set(labels[: len(labels) // 2])) > 5  # what the first half of the list has
    assert [int(key[:8]) for key, _ in made] == list(range(len(made)))


@pytest.mark.slow
def test_the_order_is_the_seeds(sample: Split, tiny_sample: Path, project: Path) -> None:
    same = packed(tiny(tiny_sample, sizes=[5]))
    assert digests(split_of(same, 0)).items() <= digests(sample).items()
    other = split_of(packed(tiny(tiny_sample, sizes=[5], seeds=[1], split_seed=0), 1), 1)
    assert read_list(other.val_list("A")) == read_list(sample.val_list("A"))
    one, another = records(sample.val_lmdb("A")), records(other.val_lmdb("A"))
    assert [key[9:] for key, _ in one] != [key[9:] for key, _ in another]
    assert {key[9:]: value for key, value in one} == {key[9:]: value for key, value in another}


def test_an_image_left_out_leaves_its_number_out(caffe_tools: Path, project: Path) -> None:
    root = image_folder(Path("images"), {"a": 9, "b": 9}).resolve()
    exp = experiment(Path("exp.yaml"), "on_bad_image=skip", dataset="folder", path=root, image_size=2, sizes=[9])
    whole = packed(exp)
    place = split_of(whole, 0)
    as_of_an_earlier_version(place)  # others refuse images that changed
    order = in_packed_order(records(place.train_lmdb("A", 9)), read_list(place.train_list("A", 9)))
    shutil.rmtree(place.folder / place.images)
    for reference, _ in order[2:5]:
        (root / reference).write_bytes(b"not an image")
    pack(exp, 0)
    made = records(place.train_lmdb("A", 9))
    assert [int(key[:8]) for key, _ in made] == [0, 1, 5, 6, 7, 8]
    assert made == converted(caffe_tools, root, order, project)
