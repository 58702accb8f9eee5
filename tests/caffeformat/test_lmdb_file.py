"""LMDBs: they grow and keep their order, damaged ones are refused, and real Caffe reads them."""

import json
import subprocess
import sys
import threading
from pathlib import Path

import lmdb
import numpy as np
import pytest

from caffeformat import FormatError, datum, lmdb_file


def records(count: int, size: int = 10) -> list[tuple[bytes, bytes]]:
    return [(lmdb_file.key(i, f"class/{i}.jpg"), bytes([i % 251]) * size) for i in range(count)]


@pytest.fixture
def small(tmp_path) -> Path:
    """An LMDB of 300 records of 1 KB."""
    lmdb_file.write(tmp_path / "small", records(300, 1000))
    return tmp_path / "small"


# ---- Writing -------------------------------------------------------------------------------------------------------


def test_a_key_is_as_convert_imageset_writes_it():
    assert lmdb_file.key(42, "n01443537/images/a b.JPEG") == b"00000042_n01443537/images/a b.JPEG"


def test_a_path_too_long_for_a_key_is_refused():
    assert len(lmdb_file.key(0, "x" * 502)) == 511
    with pytest.raises(FormatError, match="makes a key of 512 bytes; LMDB takes 511"):
        lmdb_file.key(0, "x" * 503)


def test_what_is_written_far_beyond_the_first_map_is_read_in_order(tmp_path):
    written = records(1000, 60_000)
    size = sum(len(value) for _, value in written)
    assert size > 3 * lmdb_file._FIRST_MAP
    assert lmdb_file.write(tmp_path / "db", written) == 1000
    with lmdb_file.open_reader(tmp_path / "db") as reader:
        assert len(reader) == 1000
        assert list(reader) == written
        assert [reader.get(i) for i in (0, 517, 999)] == [written[i] for i in (0, 517, 999)]
        assert reader.values(998, 4) == [written[i][1] for i in (998, 999, 0, 1)]
        assert reader.values(3000, 2001) == [written[i % 1000][1] for i in range(2001)]
    assert (tmp_path / "db" / "data.mdb").stat().st_size < 1.1 * size


def test_a_single_record_larger_than_the_first_map_is_written(tmp_path):
    written = [(b"1", b"a"), (b"2", bytes(3 * lmdb_file._FIRST_MAP)), (b"3", b"c")]
    assert lmdb_file.write(tmp_path / "db", written) == 3
    with lmdb_file.open_reader(tmp_path / "db") as reader:
        assert list(reader) == written


def test_records_are_taken_as_they_are_written_and_progress_is_told(tmp_path):
    taken, told = [], []

    def items():
        for key, value in records(100, 1 << 20):
            taken.append(key)
            yield key, value

    lmdb_file.write(tmp_path / "db", items(), lambda count: told.append((count, len(taken))))
    assert told[-1] == (100, 100)
    assert len(told) > 5
    assert all(written == drawn for written, drawn in told)


def test_an_empty_database_is_written_and_read(tmp_path):
    assert lmdb_file.write(tmp_path / "db", []) == 0
    with lmdb_file.open_reader(tmp_path / "db") as reader:
        assert (len(reader), list(reader)) == (0, [])


@pytest.mark.parametrize("keys", [[b"2", b"1"], [b"1", b"1"], [b"1", b"3", b"2", b"4"]])
def test_keys_out_of_order_are_refused(keys, tmp_path):
    with pytest.raises(FormatError, match="keys must ascend, without duplicates"):
        lmdb_file.write(tmp_path / "db", [(key, b"x") for key in keys])


def test_keys_out_of_order_across_transactions_are_refused(tmp_path):
    items = [(b"%d" % i, bytes(lmdb_file._BATCH)) for i in (1, 2, 1)]
    with pytest.raises(FormatError, match="keys must ascend"):
        lmdb_file.write(tmp_path / "db", items)


@pytest.mark.parametrize("key", [b"", b"x" * 512])
def test_a_key_that_lmdb_cannot_hold_is_refused(key, tmp_path):
    with pytest.raises(FormatError, match="a key must have 1 to 511 bytes"):
        lmdb_file.write(tmp_path / "db", [(key, b"x")])


def test_a_folder_that_exists_is_not_touched(tmp_path):
    (tmp_path / "db").mkdir()
    with pytest.raises(FormatError, match="exists already"):
        lmdb_file.write(tmp_path / "db", records(3))
    assert list((tmp_path / "db").iterdir()) == []


def test_a_place_where_no_folder_can_be_made_is_refused(tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(FormatError, match="file/db: cannot be created: Not a directory"):
        lmdb_file.write(tmp_path / "file" / "db", records(3))


def test_a_disk_that_is_full_is_one_clear_error(tmp_path):
    """A limit of 1 MB on the size of a file acts as the full disk."""
    program = f"""
import resource
from caffeformat import FormatError, lmdb_file
resource.setrlimit(resource.RLIMIT_FSIZE, (1 << 20, 1 << 20))
try:
    lmdb_file.write({str(tmp_path / "db")!r}, ((b"%08d" % i, bytes(10_000)) for i in range(2000)))
except FormatError as error:
    print(error)
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout.startswith(str(tmp_path / "db"))
    assert "is the disk full?" in done.stdout


# ---- Reading -------------------------------------------------------------------------------------------------------


def test_reading_needs_no_right_to_write_and_leaves_nothing_behind(small):
    (small / "data.mdb").chmod(0o444)
    small.chmod(0o555)
    before = small.stat().st_mtime_ns
    try:
        with lmdb_file.open_reader(small) as reader:
            found = list(reader)
    finally:
        small.chmod(0o755)
    assert found == records(300, 1000)
    assert [path.name for path in small.iterdir()] == ["data.mdb"]
    assert small.stat().st_mtime_ns == before


def test_two_readers_of_one_database_do_not_disturb_each_other(small):
    with lmdb_file.open_reader(small) as first:
        with lmdb_file.open_reader(small) as second:
            assert next(iter(second)) == records(1, 1000)[0]
        assert list(first) == records(300, 1000)


def test_a_database_put_in_the_place_of_another_is_read(small, tmp_path):
    with lmdb_file.open_reader(small) as old:
        small.rename(tmp_path / "moved")
        lmdb_file.write(small, records(5))
        with lmdb_file.open_reader(small) as new:
            assert (len(old), len(new)) == (300, 5)


def test_an_index_beyond_the_last_record_is_an_index_error(small):
    with lmdb_file.open_reader(small) as reader, pytest.raises(IndexError):
        reader.get(300)


@pytest.mark.parametrize("share", [0.0, 0.001, 0.02, 0.5, 0.99])
def test_a_truncated_database_is_refused(share, small):
    data = (small / "data.mdb").read_bytes()
    (small / "data.mdb").write_bytes(data[: int(share * len(data))])
    with pytest.raises(FormatError) as error:
        lmdb_file.open_reader(small)
    assert str(error.value).startswith(str(small))


NO_LMDB = {
    "no folder": (lambda folder: None, "not an LMDB: it does not exist"),
    "an empty folder": (lambda folder: folder.mkdir(), "it holds no data.mdb"),
    "a file": (lambda folder: folder.touch(), "not a folder"),
    "a LevelDB": (lambda folder: (folder.mkdir(), (folder / "CURRENT").touch()), "a LevelDB; only LMDB is supported"),
    "another file by that name": (
        lambda folder: (folder.mkdir(), (folder / "data.mdb").write_bytes(b"no" * 9000)),
        "not an LMDB file",
    ),
}


def test_a_database_that_another_thread_is_just_closing_is_opened_as_soon_as_it_is_closed(small: Path) -> None:
    closing = lmdb.open(str(small), readonly=True, lock=False)
    thread = threading.Timer(0.1, closing.close)
    thread.start()
    with lmdb_file.open_reader(small) as reader:
        assert len(reader) == 300
    thread.join()


def test_a_database_that_the_program_itself_keeps_open_is_refused(small: Path, monkeypatch) -> None:
    monkeypatch.setattr(lmdb_file, "_PATIENCE", 0.05)
    with lmdb.open(str(small), readonly=True, lock=False), pytest.raises(FormatError, match=r"small: .*already open"):
        lmdb_file.open_reader(small)


@pytest.mark.parametrize("make, phrase", NO_LMDB.values(), ids=NO_LMDB.keys())
def test_what_is_no_lmdb_is_refused(make, phrase, tmp_path):
    make(tmp_path / "db")
    with pytest.raises(FormatError) as error:
        lmdb_file.open_reader(tmp_path / "db")
    assert str(error.value).startswith(str(tmp_path / "db"))
    assert phrase in str(error.value)


# ---- Real Caffe ----------------------------------------------------------------------------------------------------

NET = """
layer { name: "data" type: "Data" top: "data" top: "label" data_param { source: "%s" backend: LMDB batch_size: 10 } }
"""
FORWARD = """
import json, sys
import caffe
net = caffe.Net(sys.argv[1], caffe.TRAIN)
batches = [net.forward() for _ in range(4)]
print(json.dumps([[b["data"].astype(int).tolist(), b["label"].astype(int).tolist()] for b in batches]))
"""


def test_the_data_layer_of_real_caffe_reads_pixels_and_labels_in_order(ask_pycaffe, tmp_path):
    images = np.random.default_rng(1).integers(0, 256, (40, 3, 6, 5), np.uint8)
    labels = list(range(0, 400, 10))
    items = [(lmdb_file.key(i, "x"), datum.encode(images[i], labels[i])) for i in range(40)]
    lmdb_file.write(tmp_path / "db", items)
    (tmp_path / "net.prototxt").write_text(NET % (tmp_path / "db"))
    batches = json.loads(ask_pycaffe(FORWARD, tmp_path / "net.prototxt"))
    assert np.array_equal(np.concatenate([pixels for pixels, _ in batches]), images)
    assert np.concatenate([found for _, found in batches]).tolist() == labels
