"""LevelDBs: read as plyvel and as Caffe's convert_imageset write them; damaged ones and a missing plyvel are told."""

import sys
from pathlib import Path

import plyvel
import pytest

from caffeformat import FormatError, leveldb_file

RECORDS = [(b"%04d" % index, bytes([index % 256]) * 3000) for index in range(300)]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A LevelDB of compressed tables, as an old one of Caffe's is; written in another order."""
    with plyvel.DB(str(tmp_path / "db"), create_if_missing=True, compression="snappy") as db:
        for key, value in reversed(RECORDS):
            db.put(key, value)
        db.compact_range()
    return tmp_path / "db"


def test_records_are_in_the_order_of_their_keys(folder: Path) -> None:
    reader = leveldb_file.open_reader(folder)
    assert [reader.get(index) for index in range(len(reader))] == RECORDS
    with pytest.raises(IndexError):
        reader.get(len(RECORDS))


def test_readers_of_one_process_share_it_and_it_is_free_when_they_are_gone(folder: Path) -> None:
    first, second = leveldb_file.open_reader(folder), leveldb_file.open_reader(f"{folder}/../db")
    assert first.get(3) == second.get(3)
    del first, second
    plyvel.DB(str(folder)).close()


def test_a_damaged_table_is_named(folder: Path) -> None:
    table = next(folder.glob("*.ldb"))
    content = bytearray(table.read_bytes())
    content[1000:1100] = b"x" * 100
    table.write_bytes(content)
    with pytest.raises(FormatError, match=rf"{folder}: the LevelDB cannot be read: Corruption: .*"):
        leveldb_file.open_reader(folder)


@pytest.mark.parametrize(("name", "problem"), [("nowhere", "it is no folder"), ("", "it holds no file CURRENT")])
def test_what_is_no_leveldb_is_refused(tmp_path: Path, name: str, problem: str) -> None:
    with pytest.raises(FormatError, match=f": not a LevelDB: {problem}; give the folder that holds CURRENT"):
        leveldb_file.open_reader(tmp_path / name)


def test_without_plyvel_two_ways_out_are_told(folder: Path, monkeypatch) -> None:
    monkeypatch.setitem(sys.modules, "plyvel", None)
    with pytest.raises(
        FormatError, match=r"`pip install plyvel`; or make an LMDB .* `convert_imageset --backend=lmdb "
    ):
        leveldb_file.open_reader(folder)
