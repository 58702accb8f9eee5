"""The record of a walk that was not finished: what was looked at, and how it was. The same command goes on from it.

A file that has changed since (size, times, inode) is looked at again. The record appears by rename, and is removed when
the walk has ended: the next walk looks at everything.
"""

import time
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

from tools.common.files import read_json, remove_leftovers, sha256, write_json

_INTERVAL = 2.0  # seconds between two writes, at the least


class Seen:
    """Results of long looks at files, by name."""

    def __init__(self, record: Path) -> None:
        self._record = record
        known = read_json(record)
        self._known: dict[str, Any] = known if isinstance(known, dict) else {}
        self.went_on = bool(self._known)
        self._written = time.monotonic()

    def sha256(self, file: Path) -> str:
        return self.result(str(file), [file], lambda: sha256(file))

    def result(self, name: str, files: Iterable[Path], look: Callable[[], str]) -> str:
        """What `look` returned for these files, in this walk or before it was stopped. An exception is not recorded."""
        before = [_state(file) for file in files]
        known = self._known.get(name)
        if isinstance(known, dict) and known.get("files") == before and isinstance(known.get("result"), str):
            return str(known["result"])
        result = look()
        self._known[name] = {"files": before, "result": result}
        if time.monotonic() - self._written > _INTERVAL:
            write_json(self._record, self._known)
            self._written = time.monotonic()
        return result

    def ended(self) -> None:
        """Removes the record, and what killed walks left beside it."""
        remove_leftovers(self._record.parent)
        self._record.unlink(missing_ok=True)


def _state(file: Path) -> list[int]:
    stat = file.stat()
    return [stat.st_size, stat.st_mtime_ns, stat.st_ctime_ns, stat.st_ino]
