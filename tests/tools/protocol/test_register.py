"""The register of data sets: cards, their mistakes, and the class lists of the thesis' appendices A and B."""

import importlib
from pathlib import Path

import pytest
import yaml

from tools.common.errors import UserError
from tools.datasets import DataSet, open_dataset, reader
from tools.protocol.experiment import load
from tools.protocol.register import card, check_classes, check_name, datasets, thesis_classes


@pytest.mark.parametrize("dataset", ["fashion-mnist", "tiny-imagenet", "miniplaces"])
def test_a_card_says_what_it_is_and_where_from(dataset: str) -> None:
    about = card(dataset)
    assert about.terms and about.about and about.layout
    assert set(about.counts) == {"classes", "train", "val"}
    for file in about.files:
        assert len(file.md5) == 32
        assert all(url.endswith(file.name) for url in file.urls)
    assert dataset == "fashion-mnist" or about.published_archive[0].name == about.archive.name


def test_the_card_of_tiny_imagenet_has_the_published_size_and_checksum() -> None:
    assert card("tiny-imagenet").published_archive[0].bytes == 248_100_043
    assert card("tiny-imagenet").published_archive[0].md5 == "90528d7ca1a48142e341f4ef8d21d0de"


def test_every_card_of_the_checkout_is_right_and_names_a_reader(checkout: Path) -> None:
    names = datasets()
    assert {path.stem for path in (checkout / "data/cards").glob("*.yaml")} == set(names)
    for name in names:
        module, _, reader = card(name).reader.rpartition(".")
        assert issubclass(getattr(importlib.import_module(f"tools.datasets.{module}"), reader), DataSet)


def test_a_card_of_the_current_folder_registers_a_data_set(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ValueError, match=r"no such data set; data/cards/ has fashion-mnist, folder, miniplaces"):
        check_name("mine")
    write_card("mine", title="Mine", about="mine", terms="none", layout="train/ and val/", reader="folder.Folder")
    assert check_name("mine") == "mine" and "mine" in datasets()
    assert card("mine").title == "Mine" and not card("mine").is_published


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"title": 7}, r"data/cards/mine\.yaml:\d+: title: found 7; Input should be a valid string"),
        ({"colour": "red"}, r"data/cards/mine\.yaml:\d+: colour: found .red.; Extra inputs are not permitted"),
        ({"files": [{"name": "a"}]}, r"data/cards/mine\.yaml:\d+: files\.0\.urls: Field required"),
    ],
    ids=["a wrong type", "an unknown key", "a missing key"],
)
def test_a_mistake_in_a_card_is_told_with_its_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, changes: dict[str, object], message: str
) -> None:
    monkeypatch.chdir(tmp_path)
    keys = {"title": "Mine", "about": "mine", "terms": "none", "layout": "train/ and val/", "reader": "folder.Folder"}
    write_card("mine", **keys | changes)
    with pytest.raises(UserError, match=message):
        card("mine")


def test_an_older_card_of_the_current_folder_has_what_it_lacks_from_the_checkouts(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, checkout: Path
) -> None:
    monkeypatch.chdir(tmp_path)
    keys = yaml.safe_load((checkout / "data/cards/fashion-mnist.yaml").read_text())
    write_card("fashion-mnist", title="From our mirror", files=keys["files"][:1])
    assert card("fashion-mnist").title == "From our mirror"
    assert len(card("fashion-mnist").files) == 1
    assert card("fashion-mnist").reader == keys["reader"]


REMOTE = {"name": "a.zip", "urls": ["http://x/a.zip"], "md5": "0"}
ARCHIVE = {"name": "b.zip", "disk": 1, "most_files": 1, "most_bytes": 1}


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"reader": "folder"}, r"mine.yaml:\d: reader: found 'folder'; String should match"),
        ({"files": [REMOTE], "archive": ARCHIVE}, r"archive: b.zip is none of the files; there are a.zip"),
        ({"archive": ARCHIVE}, r"archive: b.zip is none of the files; there are none"),
        ({"files": [REMOTE, REMOTE]}, r"files: .* names one twice"),
        ({"files": [REMOTE]}, r"counts: a published data set has classes, train and val"),
        ({"files": [REMOTE | {"name": "../a.zip"}]}, r"files.0.name: found '../a.zip'; String should match"),
        ({"files": [REMOTE | {"urls": []}]}, r"files.0.urls: List should have at least 1 item"),
        ({"counts": {"classes": -1}}, r"counts.classes: found -1; Input should be greater than or equal to 0"),
    ],
)
def test_a_card_that_no_data_set_can_have_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, changes: dict, message: str
) -> None:
    monkeypatch.chdir(tmp_path)
    keys = {"title": "Mine", "about": "mine", "terms": "none", "layout": "train/ and val/", "reader": "folder.Folder"}
    write_card("mine", **keys | changes)
    with pytest.raises(UserError, match=message):
        card("mine")


@pytest.mark.parametrize("name", ["os.System", "folder.Nothing", "nowhere.Folder"])
def test_a_reader_that_is_no_class_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    monkeypatch.chdir(tmp_path)
    write_card("mine", title="Mine", about="mine", terms="none", layout="train/ and val/", reader=name)
    with pytest.raises(UserError, match=rf"mine.yaml: reader: {name} is no class of tools/datasets/"):
        reader("mine")


def test_a_card_that_changes_is_read_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    keys = {"about": "mine", "terms": "none", "layout": "train/ and val/", "reader": "folder.Folder"}
    write_card("mine", title="Mine", **keys)
    assert card("mine") is card("mine")
    write_card("mine", title="Yours", **keys)
    assert card("mine").title == "Yours"


def write_card(dataset: str, **keys: object) -> None:
    Path("data/cards").mkdir(parents=True, exist_ok=True)
    Path(f"data/cards/{dataset}.yaml").write_text(yaml.safe_dump(keys))


@pytest.mark.parametrize(("dataset", "count"), [("tiny-imagenet", 200), ("miniplaces", 100)])
def test_a_list_has_as_many_classes_as_the_data_set_and_none_twice(dataset: str, count: int) -> None:
    names = thesis_classes(dataset)
    assert len(names) == len(set(names.values())) == count == card(dataset).counts["classes"]


def test_the_names_of_tiny_imagenet_are_the_first_of_words_txt(tiny_sample: Path) -> None:
    names = thesis_classes("tiny-imagenet")
    lines = [line.split("\t") for line in (tiny_sample / "words.txt").read_text().splitlines()]
    assert len(lines) == 20
    for wnid, words in lines:
        assert names[wnid] == words.split(",")[0]


def test_apostrophes_are_plain() -> None:
    assert thesis_classes("tiny-imagenet")["n03992509"] == "potter's wheel"


def test_the_names_of_miniplaces_are_the_class_paths_with_slashes_and_underscores_as_spaces() -> None:
    names = thesis_classes("miniplaces")
    for path, name in names.items():
        letter, _, rest = path.partition("/")
        assert name == rest.replace("/", " ").replace("_", " ")
        assert letter == name[0]
    assert names["c/church/outdoor"] == "church outdoor"
    assert names["i/ice_skating_rink/outdoor"] == "ice skating rink outdoor"
    assert names["k/kindergarden_classroom"] == "kindergarden classroom"


@pytest.mark.parametrize("dataset", ["tiny-imagenet", "miniplaces"])
def test_the_lists_stand_in_the_tables_order_which_is_the_ids(dataset: str) -> None:
    ids = list(thesis_classes(dataset))
    assert ids == sorted(ids)


def test_a_whole_data_set_a_part_of_it_and_a_stranger_are_told_apart() -> None:
    ids = list(thesis_classes("tiny-imagenet"))
    assert check_classes("tiny-imagenet", ids) == "200 of 200 classes of the thesis' list"
    assert check_classes("tiny-imagenet", ids[:20]) == "20 of the 200 classes of the thesis' list"
    strangers = [f"n{i:08d}" for i in range(7)]
    assert check_classes("tiny-imagenet", [*ids, *strangers]) == (
        "200 of 200 classes of the thesis' list; unknown to it: n00000000, n00000001, n00000002, n00000003, n00000004 "
        "and 2 more"
    )


def test_a_data_set_that_the_thesis_has_not_is_said_so() -> None:
    assert check_classes("fashion-mnist", ["0"]) == "the thesis has no class list for fashion-mnist"


def test_the_sample_of_tiny_imagenet_is_20_of_the_200(
    tiny_sample: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "t.yaml").write_text(
        f"dataset: tiny-imagenet\npath: {tiny_sample}\nimage_size: 64\nsizes: [50]\nmodel: alexnet\nsolver: alexnet\n"
    )
    scan = open_dataset(load(tmp_path / "t.yaml")).scan()
    assert check_classes("tiny-imagenet", scan.classes) == "20 of the 200 classes of the thesis' list"
