"""Damaged LMDBs: each is refused by name or read, and none kills the process that reads it."""

import os
import random
import time
from pathlib import Path

import numpy as np
import pytest

from caffeformat import FormatError, lmdb_file
from caffeformat.lmdb_pages import check_pages

PAGE = 4096
SIZES = {"small values": (2000, 784), "tiny values": (2000, 30), "values on overflow pages": (150, 12_288)}


def a_database(folder: Path, count: int, size: int) -> Path:
    value = np.random.default_rng(0).bytes(size)
    lmdb_file.write(folder, ((lmdb_file.key(i, f"train/n0/{i}.png"), value) for i in range(count)))
    return folder / "data.mdb"


@pytest.fixture(scope="module", params=SIZES.values(), ids=SIZES)
def whole(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> bytes:
    return a_database(tmp_path_factory.mktemp("lmdb") / "db", *request.param).read_bytes()


def damaged(data: bytes, choice: random.Random) -> bytes:
    """With one to four places changed, of the first two pages and of the pages of the tree."""
    starts = range(0, len(data), PAGE)
    tree = [at for at in starts if data[at + 10] & 3 and data[at : at + 8] == (at // PAGE).to_bytes(8, "little")]
    changed = bytearray(data)
    for _ in range(choice.randint(1, 4)):
        if choice.random() < 0.3:
            at = PAGE * choice.randrange(2) + choice.randrange(152)
        else:
            at = choice.choice(tree) + choice.randrange(choice.choice([120, PAGE - 8]))
        for place in range(at, at + choice.choice([1, 2, 4, 8])):
            changed[place] = choice.choice([0, 255, choice.randrange(256), changed[place] ^ 1 << choice.randrange(8)])
    return bytes(changed)


def read_in_a_child(folder: Path) -> int:
    """The status of a process that reads all: 0 if it could, 3 if it was refused; a signal kills it."""
    child = os.fork()
    if child == 0:
        try:
            with lmdb_file.open_reader(folder) as reader:
                sum(len(key) + len(value) for key, value in reader)
            os._exit(0)
        except FormatError as error:
            os._exit(3 if str(error).startswith(str(folder)) else 4)
        finally:
            os._exit(5)
    return os.waitpid(child, 0)[1]


def test_no_damage_kills_the_reader(whole: bytes, tmp_path: Path) -> None:
    """Without the look at the pages, LMDB ends some 2 of 100 of these with SIGBUS or SIGABRT."""
    choice = random.Random(7)
    ends = set()
    for number in range(40):
        folder = tmp_path / str(number)
        folder.mkdir()
        (folder / "data.mdb").write_bytes(damaged(whole, choice))
        ends.add(read_in_a_child(folder))
        (folder / "data.mdb").unlink()
    assert ends == {0, 3 << 8}


def written(tmp_path: Path, data: bytes, at: int, value: int, size: int) -> Path:
    (tmp_path / "data.mdb").write_bytes(data[:at] + value.to_bytes(size, "little") + data[at + size :])
    return tmp_path / "data.mdb"


@pytest.mark.parametrize(
    ("at", "value", "size", "message"),
    [
        (PAGE + 128, 1 << 40, 8, "a page number beyond the end of the file"),  # the root
        (PAGE + 120, 7, 8, r"records in its pages, 7 by its first page"),
        (PAGE + 94, 40_000, 2, "its first page is damaged"),  # the depth: LMDB has a stack of 32
        (40, 0, 4, "not an LMDB file of version 1"),  # the size of a page, by which LMDB divides
        (PAGE + 136, 1 << 40, 8, "cut off: "),  # the last page
    ],
)
def test_a_first_page_that_lies_is_refused(
    whole: bytes, tmp_path: Path, at: int, value: int, size: int, message: str
) -> None:
    with pytest.raises(FormatError, match=rf"^{tmp_path}/data.mdb: .*{message}"):
        check_pages(written(tmp_path, whole, at, value, size))


def test_a_whole_database_passes_in_little_time(tmp_path: Path) -> None:
    file = a_database(tmp_path / "db", 20_000, 800)
    began = time.process_time()
    check_pages(file)
    assert time.process_time() - began < 1
    check_pages(a_database(tmp_path / "empty", 0, 1))
    check_pages(a_database(tmp_path / "one", 1, 1))
