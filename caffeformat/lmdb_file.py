"""LMDB databases of Datums, as Caffe's Data layer reads them: records in the order of their keys."""

import os
import weakref
from collections.abc import Callable, Iterable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import lmdb

from caffeformat.errors import FormatError

Record = tuple[bytes, bytes]  # key, value

_FIRST_MAP = 16 << 20  # bytes of the map at the start; doubled whenever it is full
_BATCH = 8 << 20  # bytes of records a transaction
_LONGEST_KEY = 511  # bytes: LMDB's own limit


def key(index: int, path: str) -> bytes:
    """The key that convert_imageset gives the image `path` at place `index`: `00000042_n01443537/images/x.JPEG`."""
    made = os.fsencode(f"{index:08d}_{path}")
    if len(made) > _LONGEST_KEY:
        raise FormatError(f"{path}: the path makes a key of {len(made)} bytes; LMDB takes {_LONGEST_KEY} at most")
    return made


def write(folder: str | Path, items: Iterable[Record], progress: Callable[[int], None] | None = None) -> int:
    """Write `items`, (key, value) in ascending order of keys, into a new LMDB at `folder`; return how many there are.

    Memory stays bounded (8 MiB of records a transaction), the map grows as it must, and the data is on the disk when
    this returns. `progress` is told the count of records after every transaction. A folder that exists, keys out of
    order and a full disk raise FormatError. What an error leaves behind is the caller's to remove: write beside the
    final place, then rename.
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
    """The LMDB at `folder`, for reading: a context manager. Raises FormatError."""
    return Reader(folder)


class Reader:
    """An LMDB opened for reading: `len()`, iteration over (key, value) in order of keys, `get(index)`.

    It takes no lock and writes nothing, so a read-only disk will do; nobody may write to the database meanwhile.
    """

    def __init__(self, folder: str | Path):
        self._folder = Path(folder)
        self._env = _shared_environment(self._folder)
        self._keys: list[bytes] | None = None

    def __enter__(self) -> "Reader":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Let go of the file. It is closed with its last reader in this process."""
        self._env = None

    def __len__(self) -> int:
        return self._env.stat()["entries"]

    def __iter__(self) -> Iterator[Record]:
        with _named_errors(self._folder), self._env.begin() as transaction:
            yield from transaction.cursor()

    def get(self, index: int) -> Record:
        """The (key, value) at place `index`, from 0, in order of keys. Raises IndexError."""
        with _named_errors(self._folder), self._env.begin() as transaction:
            if self._keys is None:
                self._keys = list(transaction.cursor().iternext(keys=True, values=False))
            found = self._keys[index]
            return found, transaction.get(found)


def _new_environment(folder: Path) -> lmdb.Environment:
    try:
        folder.mkdir(parents=True)
    except FileExistsError:
        raise FormatError(f"{folder}: exists already; an LMDB is written into a new folder") from None
    except OSError as error:
        raise FormatError(f"{folder}: cannot be made: {error.strerror}") from None
    return lmdb.open(str(folder), map_size=_FIRST_MAP, lock=False, sync=False, metasync=False)


def _batches(items: Iterable[Record]) -> Iterator[list[Record]]:
    batch, size = [], 0
    for item in items:
        batch.append(item)
        size += len(item[0]) + len(item[1])
        if size >= _BATCH:
            yield batch
            batch, size = [], 0
    if batch:
        yield batch


def _put(env: lmdb.Environment, batch: list[Record], folder: Path) -> None:
    """Add `batch` after what is there. A transaction that fills the map is undone by LMDB: grow, then do it again."""
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
        raise FormatError(f"{folder}: keys must come in ascending order, none twice; see those from {batch[0][0]!r} on")


# LMDB lets a process open a file once, but two data layers of a net may read the same one: readers share it. The key
# is the file's device and inode.
_open: weakref.WeakValueDictionary[tuple[int, int], lmdb.Environment] = weakref.WeakValueDictionary()


def _shared_environment(folder: Path) -> lmdb.Environment:
    file = _data_file(folder).stat()
    env = _open.get((file.st_dev, file.st_ino))
    if env is None:
        with _named_errors(folder):
            env = lmdb.open(str(folder), readonly=True, lock=False, create=False)
        _check_length(folder, env, file.st_size)
        _open[file.st_dev, file.st_ino] = env
    return env


def _data_file(folder: Path) -> Path:
    if (folder / "data.mdb").is_file():
        return folder / "data.mdb"
    if (folder / "CURRENT").is_file():
        raise FormatError(f"{folder}: a LevelDB; only LMDB is read: convert it, or pack the images again")
    found = "no data.mdb in it" if folder.is_dir() else "not a folder" if folder.exists() else "not there"
    raise FormatError(f"{folder}: no LMDB: {found}; give the folder that holds data.mdb")


def _check_length(folder: Path, env: lmdb.Environment, found: int) -> None:
    """Refuse a file shorter than its pages: LMDB maps it, and the kernel kills a process that reads past the end."""
    needed = (env.info()["last_pgno"] + 1) * env.stat()["psize"]
    if found < needed:
        raise FormatError(f"{folder}/data.mdb: cut off: {found} bytes of {needed}; copy or write it again")


@contextmanager
def _named_errors(folder: Path, hint: str = "") -> Iterator[None]:
    try:
        yield
    except lmdb.Error as error:
        raise FormatError(f"{folder}: {str(error).removeprefix(f'{folder}: ')}{hint}") from None
