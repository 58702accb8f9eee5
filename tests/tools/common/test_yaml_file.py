"""YAML with the line of every key: what experiment files, claims and cards are read with."""

from pathlib import Path

import pytest

from tools.common.errors import UserError
from tools.common.yaml_file import YamlFile, read_yaml


def read(folder: Path, text: str) -> YamlFile:
    (folder / "a.yaml").write_text(text)
    return read_yaml(folder / "a.yaml", "a test file", "other.yaml")


def test_values_and_the_line_of_every_key_and_entry(tmp_path):
    content = read(tmp_path, "first: 1\n\nlist:\n  - {x: 2}\n  - y: 3\n    z: 4\n")
    assert content.values == {"first": 1, "list": [{"x": 2}, {"y": 3, "z": 4}]}
    assert content.place("first") == f"{tmp_path}/a.yaml:1"
    assert content.place("list", 1, "z") == f"{tmp_path}/a.yaml:6"


def test_the_place_of_what_is_not_given_is_the_nearest_key_above_it(tmp_path):
    content = read(tmp_path, "first: 1\nlist: [{x: 2}]\n")
    assert content.place("list", 0, "absent") == f"{tmp_path}/a.yaml:2"
    assert content.place("absent") == f"{tmp_path}/a.yaml"
    assert content.has("list", 0, "x") and not content.has("absent")


@pytest.mark.parametrize(
    ("text", "error"),
    {
        "a: 1\na: 2\n": r"a\.yaml:2: a: given twice, first at line 1; keep one",
        "a:\n  b: 1\n  b: 1\n": r"a\.yaml:3: b: given twice, first at line 2; keep one",
        "a: [1\n": r"a\.yaml:2: not YAML",
        "- 1\n": r"a\.yaml:1: a test file is a list of `key: value` lines; see other\.yaml",
        "": r"a\.yaml:1: a test file is a list of `key: value` lines",
        "a: 2024-13-45\n": r"a\.yaml: .*put a text that looks like a date in quotes",
    }.items(),
)
def test_a_mistake_is_named_with_its_line(tmp_path, text, error):
    with pytest.raises(UserError, match=error):
        read(tmp_path, text)


def test_a_missing_file_and_what_is_no_text_are_named(tmp_path):
    read(tmp_path, "a: 1\n")
    with pytest.raises(UserError, match=r"b\.yaml: no such file; it should be a test file; in that folder: .*a\.yaml"):
        read_yaml(tmp_path / "b.yaml", "a test file", "other.yaml")
    (tmp_path / "b.yaml").write_bytes(b"\xff\xfe")
    with pytest.raises(UserError, match=r"b\.yaml: cannot be read as a text file"):
        read_yaml(tmp_path / "b.yaml", "a test file", "other.yaml")
