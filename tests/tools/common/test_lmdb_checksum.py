"""The checksum of an LMDB: what the quick check sees, and what the whole one sees."""

import json
from pathlib import Path

import pytest

from caffeformat import lmdb_file
from tools.common.files import write_json
from tools.common.lmdb_checksum import CHECKSUM, lmdb_checksum, lmdb_fault


@pytest.fixture
def lmdb(tmp_path: Path) -> Path:
    """An LMDB of 2000 records of 3000 bytes, 8 MB, with its pack.json."""
    folder = tmp_path / "A" / "n0010"
    lmdb_file.write(folder, ((b"%08d" % n, bytes([n % 251]) * 3000) for n in range(2000)))
    write_json(folder / "pack.json", {"entries": 2000, CHECKSUM: lmdb_checksum(folder)})
    return folder


def flip(file: Path, at: int) -> None:
    data = bytearray(file.read_bytes())
    data[at] ^= 1
    file.write_bytes(data)


def test_an_unchanged_lmdb_has_no_fault_and_reading_does_not_change_it(lmdb: Path) -> None:
    with lmdb_file.open_reader(lmdb) as reader:
        assert len(list(reader)) == 2000
    assert lmdb_fault(lmdb) == lmdb_fault(lmdb, whole=True) == ""


@pytest.mark.parametrize("block", [0, 1, -1])
def test_a_changed_header_or_end_is_seen_at_once(lmdb: Path, block: int) -> None:
    size = (lmdb / "data.mdb").stat().st_size
    flip(lmdb / "data.mdb", (block * 4096 + 100) % size)
    assert lmdb_fault(lmdb) == f"{lmdb}/data.mdb: not the bytes that pack wrote (its sha256 is in pack.json)"


def test_one_byte_between_the_samples_is_seen_by_the_whole_check(lmdb: Path) -> None:
    data = lmdb / "data.mdb"
    unseen = 0
    for block in range(2, 42):
        flip(data, block * 4096 + 7)
        unseen += lmdb_fault(lmdb) == ""
        assert "not the bytes that pack wrote" in lmdb_fault(lmdb, whole=True)
        flip(data, block * 4096 + 7)
    assert 30 < unseen < 40


def test_another_size_a_missing_file_and_a_cut_mark_are_told(lmdb: Path) -> None:
    data = lmdb / "data.mdb"
    size = data.stat().st_size
    data.write_bytes(data.read_bytes()[:-4096])
    assert lmdb_fault(lmdb) == f"{data}: {size - 4096} bytes, not the {size} that pack wrote"
    (lmdb / "pack.json").write_text("{")
    assert lmdb_fault(lmdb) == f"{lmdb}/pack.json: not there, or cut off"
    data.unlink()
    assert lmdb_fault(lmdb) == f"{data}: not there"


def test_an_older_lmdb_without_a_checksum_stands(lmdb: Path) -> None:
    record = json.loads((lmdb / "pack.json").read_text())
    del record[CHECKSUM]
    write_json(lmdb / "pack.json", record)
    flip(lmdb / "data.mdb", 100)
    assert lmdb_fault(lmdb, whole=True) == ""
