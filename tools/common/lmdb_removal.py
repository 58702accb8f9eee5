"""LMDBs that were removed because nothing needs them any more, and can be made again: `keep_lmdbs: none`.

Only data.mdb goes. The small files beside it stay: pack.json, which has its checksum, and the mean. They say what runs
were trained on. removed.json says that data.mdb is not lost, but was removed.
"""

import os
from pathlib import Path

from tools.common.errors import UserError
from tools.common.files import read_json, write_json
from tools.common.lmdb_checksum import CHECKSUM

MARK = "removed.json"


def is_removed(folder: Path) -> bool:
    """Whether the LMDB in `folder` was removed, and has not been made again."""
    return (folder / MARK).exists() and not (folder / "data.mdb").exists()


def require(folder: Path) -> None:
    """Raises UserError for an LMDB that was removed."""
    if is_removed(folder):
        raise UserError(f"{folder}: removed (keep_lmdbs); `python -m tools pack` makes it again")


def can_be_removed(folder: Path) -> bool:
    """Whether data.mdb is there, and its checksum is known: what is made again can be compared with it."""
    recorded = (read_json(folder / "pack.json") or {}).get(CHECKSUM)
    return isinstance(recorded, dict) and (folder / "data.mdb").exists()


def remove(folder: Path) -> int:
    """Removes data.mdb; returns its bytes. A kill between the two steps leaves a whole LMDB."""
    data = folder / "data.mdb"
    size = data.stat().st_size
    write_json(folder / MARK, {"file": data.name, "why": "keep_lmdbs: none"})
    data.unlink()
    (folder / "lock.mdb").unlink(missing_ok=True)
    return size


def put_back(new: Path, folder: Path) -> bool:
    """Moves the data.mdb of the folder `new` into `folder`, whence it was removed, if it has the bytes that it had."""
    then, now = (read_json(place / "pack.json") or {} for place in (folder, new))
    if not is_removed(folder) or then.get(CHECKSUM) != now[CHECKSUM]:
        return False
    os.replace(new / "data.mdb", folder / "data.mdb")
    (folder / MARK).unlink()
    return True
