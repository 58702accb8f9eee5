"""LMDB databases of Datums, as Caffe's Data layer reads them: records in the order of their keys."""

import os
import time
import weakref
from collections.abc import Callable, Iterable, Iterator
from contextlib import closing, contextmanager
from itertools import islice
from pathlib import Path

import lmdb

from caffeformat.errors import FormatError
from caffeformat.lmdb_pages import check_pages

Record = tuple[bytes, bytes]  # key, value

_FIRST_MAP = 16 << 20  # bytes: the size of the map at the start. It is doubled whenever it is full.
_BATCH = 8 << 20  # bytes of records per transaction
_LONGEST_KEY = 511  # bytes: LMDB's own limit
_PATIENCE = 1.0  # seconds


def key(index: int, path: str) -> bytes:
    """The key that convert_imageset gives to image number `index`: `00000042_n01443537/images/x.JPEG`.

    Raises FormatError if the key is too long for LMDB.
    """
    key_bytes = os.fsencode(f"{index:08d}_{path}")
    if len(key_bytes) > _LONGEST_KEY:
        raise FormatError(f"{path}: the path makes a key of {len(key_bytes)} bytes; LMDB takes {_LONGEST_KEY} at most")
    return key_bytes


def write(folder: str | Path, items: Iterable[Record], progress: Callable[[int], None] | None = None) -> int:
    """Write `items`, (key, value) in ascending order of keys, into a new LMDB at `folder`. Return their number.

    Memory stays bounded (8 MiB of records per transaction), the map grows as needed, and the data is synced to the disk
    on return. `progress` is called with the number of records written so far after every transaction. Raises
    FormatError if the folder exists, keys are out of order, or the disk is full. After an error the caller removes the
    partial files: write to a temporary folder, then rename it.
    """
    folder = Path(folder)
    count = 0
    with _named_errors(folder, "; is the disk full?"), closing(_new_environment(folder)) as env:
        for batch in _batches(items):
            _put(env, batch, folder)
            count += len(batch)
            if progress:
                progress(count)
        env.sync(True)
    with open_reader(folder) as reader:
        if len(reader) != count:
            raise FormatError(f"{folder}: {count} records were written, but {len(reader)} are there")
    return count


def open_reader(folder: str | Path) -> "Reader":
    """Open the LMDB at `folder` for reading, as a context manager. Raises FormatError."""
    return Reader(folder)


class Reader:
    """An LMDB opened for reading: `len()`, iteration over (key, value) in order of keys, `get(index)`.

    It takes no lock and writes nothing, so it works on a read-only disk. Nobody may write to the database meanwhile.
    """

    def __init__(self, folder: str | Path):
        self._folder = Path(folder)
        self._env: lmdb.Environment | None = _shared_environment(self._folder)
        self._keys: list[bytes] | None = None

    def __enter__(self) -> "Reader":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Release the file. LMDB closes it when the last reader in this process has released it."""
        self._env = None

    def __len__(self) -> int:
        return int(self._environment().stat()["entries"])

    def __iter__(self) -> Iterator[Record]:
        with _named_errors(self._folder), self._environment().begin() as transaction:
            yield from transaction.cursor()

    def get(self, index: int) -> Record:
        """The (key, value) number `index`, from 0, in order of keys. Raises IndexError."""
        with _named_errors(self._folder), self._environment().begin() as transaction:
            if self._keys is None:
                self._keys = list(transaction.cursor().iternext(keys=True, values=False))
            key = self._keys[index]
            value = transaction.get(key)
            assert value is not None, "the keys are those of this database, which nobody may change meanwhile"
            return key, value

    def values(self, start: int, count: int) -> list[bytes]:
        """The values of `count` records from number `start` on, faster than `get` for each. The first record follows
        the last one; there must be one."""
        values: list[bytes] = []
        with _named_errors(self._folder), self._environment().begin() as transaction:
            if self._keys is None:
                self._keys = list(transaction.cursor().iternext(keys=True, values=False))
            cursor = transaction.cursor()
            while len(values) < count:
                found = cursor.set_key(self._keys[(start + len(values)) % len(self._keys)])
                assert found, "the keys are those of this database, which nobody may change meanwhile"
                values += islice(cursor.iternext(keys=False), count - len(values))
        return values

    def _environment(self) -> lmdb.Environment:
        if self._env is None:
            raise ValueError(f"{self._folder}: this reader is closed")
        return self._env


def _new_environment(folder: Path) -> lmdb.Environment:
    try:
        folder.mkdir(parents=True)
    except FileExistsError:
        raise FormatError(f"{folder}: exists already; an LMDB is written into a new folder") from None
    except OSError as error:
        raise FormatError(f"{folder}: cannot be created: {error.strerror}") from None
    return lmdb.open(str(folder), map_size=_FIRST_MAP, lock=False, sync=False, metasync=False)


def _batches(items: Iterable[Record]) -> Iterator[list[Record]]:
    batch: list[Record] = []
    size = 0
    for item in items:
        batch.append(item)
        size += len(item[0]) + len(item[1])
        if size >= _BATCH:
            yield batch
            batch, size = [], 0
    if batch:
        yield batch


def _put(env: lmdb.Environment, batch: list[Record], folder: Path) -> None:
    """Append `batch`. If it fills the map, LMDB undoes the transaction: grow the map and write the batch again."""
    while True:
        try:
            with env.begin(write=True) as transaction:
                added = transaction.cursor().putmulti(batch, append=True)[1]
            break
        except lmdb.MapFullError:
            env.set_mapsize(2 * env.info()["map_size"])
        except lmdb.BadValsizeError:
            raise FormatError(f"{folder}: a key must have 1 to {_LONGEST_KEY} bytes") from None
    if added != len(batch):
        raise FormatError(f"{folder}: keys must ascend, without duplicates; see those from {batch[0][0]!r} on")


# A process may open an LMDB file only once, but two data layers of a net may read the same one. Readers share it here,
# by the file's device and inode.
_open: weakref.WeakValueDictionary[tuple[int, int], lmdb.Environment] = weakref.WeakValueDictionary()


def _shared_environment(folder: Path) -> lmdb.Environment:
    file = _data_file(folder).stat()
    env = _open.get((file.st_dev, file.st_ino))
    if env is None:
        check_pages(_data_file(folder))
        with _named_errors(folder):
            env = _opened(folder)
        _open[file.st_dev, file.st_ino] = env
    return env


def _opened(folder: Path) -> lmdb.Environment:
    """Opens the LMDB at `folder`. While another thread drops the last reader of it, LMDB still calls it open: then this
    waits, for a second at most. Raises lmdb.Error."""
    end = time.monotonic() + _PATIENCE
    while True:
        try:
            return lmdb.open(str(folder), readonly=True, lock=False, create=False)
        except lmdb.Error as error:
            if "already open in this process" not in str(error) or time.monotonic() > end:
                raise
            time.sleep(0.005)


def _data_file(folder: Path) -> Path:
    if (folder / "data.mdb").is_file():
        return folder / "data.mdb"
    if (folder / "CURRENT").is_file():
        raise FormatError(f"{folder}: this is a LevelDB; only LMDB is supported: convert it, or pack the images again")
    problem = "it holds no data.mdb" if folder.is_dir() else "not a folder" if folder.exists() else "it does not exist"
    raise FormatError(f"{folder}: not an LMDB: {problem}; give the folder that holds data.mdb")


@contextmanager
def _named_errors(folder: Path, hint: str = "") -> Iterator[None]:
    try:
        yield
    except lmdb.Error as error:
        raise FormatError(f"{folder}: {str(error).removeprefix(f'{folder}: ')}{hint}") from None
