"""Files that appear whole or not at all."""

import os
from collections.abc import Iterable
from pathlib import Path

from torchcaffe.common.log import Fatal


def write_file(path: str | Path, pieces: Iterable[bytes | memoryview]) -> None:
    """Writes `pieces` to a temporary file in the same folder as `path`, syncs it and renames it.

    Raises Fatal, for example if the disk is full. Then no file is left.
    """
    path = Path(path)
    partial = path.with_name(f".{path.name}.{os.getpid()}.partial")
    try:
        with partial.open("wb") as out:
            out.writelines(pieces)
            out.flush()
            os.fsync(out.fileno())
        partial.replace(path)
    except OSError as error:
        partial.unlink(missing_ok=True)
        raise Fatal(f"{path}: cannot be written: {error.strerror}; nothing was left there", "io.cpp:69") from None
