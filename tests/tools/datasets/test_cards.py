"""data/classes/*.csv, the class lists of the thesis' appendices A and B, held against the data sets' own lists."""

from pathlib import Path

import pytest

from tools.datasets import open_dataset
from tools.protocol.experiment import load
from tools.protocol.register import card, check_classes, thesis_classes


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
