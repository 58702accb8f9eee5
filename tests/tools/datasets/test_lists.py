"""Lists that come with a data set: byte order marks, blank lines, line ends, and what is no text."""

from pathlib import Path

import pytest

from tools.common.errors import UserError
from tools.datasets.lists import read_lines


@pytest.mark.parametrize(
    "data",
    [
        b"a b\nc\n",
        b"a b\nc",
        b"\xef\xbb\xbfa b\nc\n",  # as Windows' Notepad saves UTF-8
        b"a b\r\nc\r\n",
        "a b\nc\n".encode("utf-16"),  # as PowerShell's > saves it
    ],
)
def test_the_same_lines_however_they_were_saved(tmp_path: Path, data: bytes) -> None:
    (tmp_path / "list.txt").write_bytes(data)
    assert read_lines(tmp_path / "list.txt") == [(1, "a b"), (2, "c")]


def test_blank_lines_count_but_hold_nothing(tmp_path: Path) -> None:
    (tmp_path / "list.txt").write_text("\na\n  \n\nb\n\n\n")
    assert read_lines(tmp_path / "list.txt") == [(2, "a"), (5, "b")]


def test_only_line_ends_divide_lines(tmp_path: Path) -> None:
    """U+2028 and others, at which `str.splitlines` divides, may be in a file's name."""
    (tmp_path / "list.txt").write_text("a\u2028b\x0bc\x1cd\n")
    assert read_lines(tmp_path / "list.txt") == [(1, "a\u2028b\x0bc\x1cd")]


def test_what_is_no_text_is_named_with_its_line(tmp_path: Path) -> None:
    (tmp_path / "list.txt").write_bytes(b"a\nb\ncaf\xe9\n")
    with pytest.raises(UserError, match=r"list.txt:3: not UTF-8 text .*; save the list as UTF-8"):
        read_lines(tmp_path / "list.txt")
    with pytest.raises(UserError, match=r"none.txt: cannot be read: No such file"):
        read_lines(tmp_path / "none.txt")
