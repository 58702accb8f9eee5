"""Whole or absent: files and folders that appear by rename, finished, and locks that the kernel frees."""

import contextlib
import fcntl
import hashlib
import json
import os
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any


def write_atomic(path: Path, data: bytes | str) -> None:
    """Writes `data` beside `path`, syncs it and renames it into place; makes the parent folders."""
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    part = _beside(path)
    try:
        with held(part, Path.touch), open(part, "wb") as out:
            out.write(data.encode() if isinstance(data, str) else data)
            out.flush()
            os.fsync(out.fileno())
            os.replace(part, path)
    finally:
        part.unlink(missing_ok=True)


def write_if_changed(path: Path, data: str) -> bool:
    """`write_atomic`, but leaves a file that already has these bytes untouched. Returns whether it wrote."""
    if path.exists() and path.read_bytes() == data.encode():
        return False
    write_atomic(path, data)
    return True


def write_json(path: Path, value: Any) -> None:
    write_atomic(path, json.dumps(value, indent=1, sort_keys=False) + "\n")


def read_json(path: Path) -> Any | None:
    """The parsed file, or None where it is absent or no JSON (an unfinished marker counts as no marker)."""
    try:
        return json.loads(Path(path).read_bytes())
    except (FileNotFoundError, NotADirectoryError, ValueError):
        return None


@contextlib.contextmanager
def new_folder(path: Path) -> Iterator[Path]:
    """Yields a fresh folder beside `path`; on a clean exit it replaces `path`, on an error it is removed."""
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    part = _beside(path)
    shutil.rmtree(part, ignore_errors=True)
    try:
        with held(part, Path.mkdir):
            yield part
            if path.exists():
                shutil.rmtree(path)
            os.replace(part, path)
    finally:
        shutil.rmtree(part, ignore_errors=True)


def remove_leftovers(folder: Path) -> None:
    """Removes what killed writers left in `folder` and below it. What a living one is at work on stays."""
    for parent, folders, files in os.walk(folder):  # which does not mind that others make and remove things here
        for name in [*folders, *files]:
            if name.startswith(".") and name.endswith(".part"):
                _remove_if_left(Path(parent, name))
        folders[:] = [name for name in folders if not name.endswith(".part")]


def sha256(path: Path) -> str:
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


@contextlib.contextmanager
def lock(path: Path) -> Iterator[None]:
    """Holds an exclusive flock on `path`, waiting for it. The kernel frees it even after `kill -9`."""
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    with open(path, "a") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def is_locked(path: Path) -> bool:
    """Whether some living process holds `lock(path)`."""
    try:
        with open(path) as file:
            fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except FileNotFoundError:
        return False
    except BlockingIOError:
        return True
    return False


@contextlib.contextmanager
def held(part: Path, make: Callable[[Path], None]) -> Iterator[None]:
    """Makes `part` and keeps a lock on it, by which `remove_leftovers` knows that its writer lives."""
    file = None
    while file is None:
        file = _take(part, make)
    try:
        yield
    finally:
        os.close(file)


def _take(part: Path, make: Callable[[Path], None]) -> int | None:
    """The locked descriptor of what `make` made; None if that was taken for a leftover before it was locked."""
    make(part)
    try:
        file = os.open(part, os.O_RDONLY)
    except FileNotFoundError:
        return None
    fcntl.flock(file, fcntl.LOCK_SH)
    if _is_at(part, file):
        return file
    os.close(file)
    return None


def _remove_if_left(part: Path) -> None:
    try:
        file = os.open(part, os.O_RDONLY)
    except OSError:  # its writer has finished it, or it is another user's
        return
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:  # its writer lives; or it is a folder, and on a file system (NFS) that locks files only
        return
    else:
        if _is_at(part, file):  # or else its writer has finished it, and perhaps begun another of the same name
            shutil.rmtree(part) if part.is_dir() else part.unlink()
    finally:
        os.close(file)


def _is_at(path: Path, file: int) -> bool:
    try:
        return os.path.samestat(os.fstat(file), os.stat(path))
    except FileNotFoundError:
        return False


def _beside(path: Path) -> Path:
    """A hidden name in the same folder, the process' own, so that two writers never share one."""
    return path.with_name(f".{path.name}.{os.getpid()}.part")
