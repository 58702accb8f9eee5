"""LevelDB databases of Datums, as Caffe's Data layer reads them by default: records in the order of their keys.

The Python package plyvel reads them. LevelDB itself writes to the folder when it opens a database, also for reading.
"""

import weakref
from pathlib import Path
from types import ModuleType

from caffeformat.errors import FormatError

Record = tuple[bytes, bytes]  # key, value

NAME = "CURRENT"  # the file that every LevelDB has


def open_reader(folder: str | Path) -> "Reader":
    """Open the LevelDB at `folder` for reading. Raises FormatError."""
    folder = Path(folder).resolve()
    reader = _open.get(folder)
    if reader is None:
        reader = _open[folder] = Reader(folder)
    return reader


class Reader:
    """A LevelDB opened for reading: `len()`, `get(index)`. All its keys are read when it is opened."""

    def __init__(self, folder: Path):
        plyvel = _plyvel(folder)
        if not (folder / NAME).is_file():
            problem = f"it holds no file {NAME}" if folder.is_dir() else "it is no folder"
            raise FormatError(f"{folder}: not a LevelDB: {problem}; give the folder that holds {NAME}")
        self._folder, self._error = folder, plyvel.Error
        try:
            self._db = plyvel.DB(str(folder), create_if_missing=False, paranoid_checks=True)
            self._keys: list[bytes] = list(self._db.iterator(include_value=False))
        except plyvel.Error as error:
            raise self._named(error) from None

    def __len__(self) -> int:
        return len(self._keys)

    def get(self, index: int) -> Record:
        """The (key, value) number `index`, from 0, in order of keys. Raises IndexError."""
        key = self._keys[index]
        try:
            value: bytes = self._db.get(key, verify_checksums=True)
        except self._error as error:
            raise self._named(error) from None
        return key, value

    def values(self, start: int, count: int) -> list[bytes]:
        """The values of `count` records from number `start` on. The first record follows the last one."""
        return [self.get((start + i) % len(self))[1] for i in range(count)]

    def _named(self, error: Exception) -> FormatError:
        text = error.args[0] if error.args else error
        reason = text.decode(errors="replace") if isinstance(text, bytes) else str(text)
        return FormatError(f"{self._folder}: the LevelDB cannot be read: {reason}")


# A process may open a LevelDB only once, but two data layers of a net may read the same one.
_open: weakref.WeakValueDictionary[Path, Reader] = weakref.WeakValueDictionary()


def _plyvel(folder: Path) -> ModuleType:
    try:
        import plyvel
    except ImportError:
        needed = f"{folder}: a LevelDB needs the Python package plyvel: `pip install plyvel`"
        lmdb = "or make an LMDB of the images: `convert_imageset --backend=lmdb FOLDER/ LIST LMDB`"
        raise FormatError(f"{needed}; {lmdb}, and write backend: LMDB") from None
    module: ModuleType = plyvel
    return module
