"""An LMDB that is removed, and made again."""

from pathlib import Path

import pytest

from caffeformat import lmdb_file
from tools.common.errors import UserError
from tools.common.files import write_record
from tools.common.lmdb_checksum import CHECKSUM, lmdb_checksum
from tools.common.lmdb_removal import MARK, can_be_removed, is_removed, put_back, remove, require


def made(folder: Path, value: bytes = b"value") -> Path:
    lmdb_file.write(folder, iter([(b"key", value)]))
    write_record(folder / "pack.json", {CHECKSUM: lmdb_checksum(folder)})
    return folder


def test_what_is_removed_is_put_back_beside_the_files_that_stayed(tmp_path: Path) -> None:
    folder = made(tmp_path / "n0004")
    (folder / "mean.binaryproto").write_text("mean")
    assert can_be_removed(folder) and not is_removed(folder)
    data = (folder / "data.mdb").read_bytes()
    assert remove(folder) == len(data)
    assert is_removed(folder) and not can_be_removed(folder)
    with pytest.raises(UserError, match=r"n0004: removed \(keep_lmdbs\); `python -m tools pack` makes it again"):
        require(folder)
    assert put_back(made(tmp_path / "new"), folder)
    assert not is_removed(folder) and (folder / "data.mdb").read_bytes() == data
    assert sorted(path.name for path in folder.iterdir() if path.name != "lock.mdb") == [
        "data.mdb",
        "mean.binaryproto",
        "pack.json",
    ]


def test_other_bytes_are_not_put_back(tmp_path: Path) -> None:
    folder = made(tmp_path / "n0004")
    remove(folder)
    assert not put_back(made(tmp_path / "new", b"other"), folder)
    assert is_removed(folder)


def test_an_lmdb_that_is_lost_was_not_removed(tmp_path: Path) -> None:
    folder = made(tmp_path / "n0004")
    (folder / "data.mdb").unlink()
    assert not is_removed(folder) and not can_be_removed(folder)


@pytest.mark.parametrize("content", ["{}", "", '{"data": 1}'])
def test_one_without_a_checksum_stays(tmp_path: Path, content: str) -> None:
    folder = made(tmp_path / "n0004")
    (folder / "pack.json").write_text(content)
    assert not can_be_removed(folder)


def test_a_kill_between_mark_and_removal_leaves_a_whole_lmdb(tmp_path: Path) -> None:
    folder = made(tmp_path / "n0004")
    (folder / MARK).write_text("{}")
    assert not is_removed(folder) and can_be_removed(folder)
