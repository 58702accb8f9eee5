"""YAML with the line of every key: what experiment files, claims and cards are read with."""

import contextlib
import tempfile
from pathlib import Path

import pytest
from hypothesis import given

from tests.helpers.damaged_files import bounds, damaged, quick
from tools.common.checkout import CHECKOUT
from tools.common.errors import UserError
from tools.common.yaml_file import YamlFile, read_value, read_yaml


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
        "a: 2024-13-45\n": r"a\.yaml:1: a: found 2024-13-45; put a text that looks like a date in quotes",
    }.items(),
)
def test_a_mistake_is_named_with_its_line(tmp_path, text, error):
    with pytest.raises(UserError, match=error):
        read(tmp_path, text)


@pytest.mark.parametrize(
    ("written", "right"),
    [
        ("010", "write a whole number in decimal digits without a leading 0"),  # YAML: 8
        ("1:30", "write a whole number in decimal digits"),  # 90
        ("0x10", "write a whole number in decimal digits"),  # 16
        ("0b11", "write a whole number in decimal digits"),  # 3
        ("1_000", "write a whole number in decimal digits"),  # 1000
        ("[1, 1:30.5]", "write a number in decimal digits"),  # 90.5
        (".inf", "write a number in decimal digits"),
        (".NaN", "write a number in decimal digits"),
        ("yes", "write true or false"),  # true
        ("[no]", "write true or false"),  # false
        ("{b: off}", "write true or false"),
        ("2024-01-02", "put a text that looks like a date in quotes"),
        ("!foo 1", "write the plain value, without a word that begins with !"),
        ("!!python/name:os.system x", "write the plain value"),
        ("!!binary aGk=", "write the plain value"),
    ],
)
def test_what_yaml_reads_as_something_else_is_told(tmp_path: Path, written: str, right: str) -> None:
    with pytest.raises(UserError, match=rf"^{tmp_path}/a\.yaml:2: a: (b: )?found .*; {right}"):
        read(tmp_path, f"# one line above\na: {written}\n")
    with pytest.raises(UserError, match=rf"^SET: a: found .*{right}"):
        read_value(written, "SET: a")


@pytest.mark.parametrize(
    ("written", "value"),
    [
        *(("0", 0), ("-5", -5), ("+7", 7), ("1.50", 1.5), ("1e-3", 0.001), ("1.0e+3", 1000.0), (".5", 0.5)),
        *(("~", None), ("true", True), ("'010'", "010"), ("'yes'", "yes"), ("A2B", "A2B"), ("[a, 1]", ["a", 1])),
        ("/x:y", "/x:y"),
    ],
)
def test_what_is_what_it_looks_like_is_read(tmp_path: Path, written: str, value: object) -> None:
    assert read(tmp_path, f"a: {written}\n").values == {"a": value}
    assert read_value(written, "SET: a") == value


LAUGHS = "a0: &a0 [x, x]\n" + "".join(f"a{i}: &a{i} [*a{i - 1}, *a{i - 1}]\n" for i in range(1, 30))


@pytest.mark.parametrize(
    ("text", "error"),
    {
        "? [a, b]\n: 1\n": "a.yaml:1: a key is a word or text, not a list or mapping",
        "a: {{b: 1}: 2}\n": "a.yaml:1: a key is a word or text",
        "010: 1\n": "a.yaml:1: in a key: found 010",
        "a: " + "[" * 40 + "]" * 40: "a.yaml:1: nested more than 30 deep",
        "a: " + "[" * 5000: "a.yaml: nested too deeply",
        "a: &b [*b]\n": "nested more than 30 deep",
        LAUGHS: "more than 20,000 values, counting those that an alias",
        "a: x\n" * 100_000: "more than 262,144 bytes; it should be a test file",
        "a: " + "9" * 5000: "a.yaml: not YAML: Exceeds the limit",
        'a: "\\UFFFFFFFF"\n': "a.yaml: not YAML",
        "a: \0\n": "a.yaml:1: not YAML: unacceptable character",
        "a: 1\n---\nb: 2\n": "a.yaml:2: not YAML",
    }.items(),
)
def test_what_has_no_bounds_is_one_error_within_bounds(tmp_path: Path, text: str, error: str) -> None:
    with bounds(), pytest.raises(UserError) as caught:
        read(tmp_path, text)
    assert error in str(caught.value) and str(caught.value).count("\n") == 0 and len(str(caught.value)) < 400


FOLDERS = ("experiments", "experiments/claims", "data/cards")
REAL = [path.read_bytes() for folder in FOLDERS for path in (CHECKOUT / folder).glob("*.yaml")]
PIECES = [
    b"? ",
    b"!x ",
    b"&a ",
    b"*a",
    b"[" * 50,
    b"{",
    b"- ",
    b"<<: ",
    b"\xef\xbb\xbf",
    b"\0",
    b"|\n",
    b"---\n",
    b"010",
]


@quick(150)
@given(data=damaged(REAL, PIECES))
def test_a_damaged_file_is_read_or_is_one_error(data: bytes) -> None:
    with tempfile.TemporaryDirectory() as folder, bounds():
        (Path(folder) / "a.yaml").write_bytes(data)
        with contextlib.suppress(UserError):
            read_yaml(Path(folder) / "a.yaml", "a test file", "other.yaml")


def test_a_missing_file_and_what_is_no_text_are_named(tmp_path):
    read(tmp_path, "a: 1\n")
    with pytest.raises(UserError, match=r"b\.yaml: no such file; it should be a test file; in that folder: .*a\.yaml"):
        read_yaml(tmp_path / "b.yaml", "a test file", "other.yaml")
    (tmp_path / "b.yaml").write_bytes(b"\xff\xfe")
    with pytest.raises(UserError, match=r"b\.yaml: cannot be read as a text file"):
        read_yaml(tmp_path / "b.yaml", "a test file", "other.yaml")
