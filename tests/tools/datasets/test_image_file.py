"""The bytes of a file: all of them, however long it is, and an error at once for what may never end."""

import os
from pathlib import Path

import pytest

from tools.datasets.image_file import BadImage, read_file


@pytest.mark.parametrize("size", [0, 1, 3000, (1 << 20) + 1])
def test_a_file_is_read_to_its_end(tmp_path: Path, size: int) -> None:
    content = os.urandom(size)
    (tmp_path / "a.jpg").write_bytes(content)
    assert read_file(tmp_path / "a.jpg") == content


def test_a_file_that_tells_no_size_is_read_to_its_end() -> None:
    assert os.stat("/proc/self/status").st_size == 0
    assert b"VmRSS" in read_file("/proc/self/status")


def test_what_is_no_regular_file_is_refused_without_waiting(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.jpg")
    (tmp_path / "folder.jpg").mkdir()
    for name, reason in {
        "pipe.jpg": "not a regular file",
        "/dev/zero": "not a regular file",
        "folder.jpg": "Is a directory",
        "gone.jpg": "No such file or directory",
    }.items():
        with pytest.raises(BadImage, match=reason):
            read_file(tmp_path / name)
