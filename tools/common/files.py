"""Files and folders that appear only when they are complete (by rename), and locks that the kernel releases."""

import contextlib
import errno
import fcntl
import glob
import hashlib
import json
import os
import shutil
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

from tools.common.errors import UserError

_DISK = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EIO}  # full, over quota, file too large, broken


def write_atomic(path: Path, data: bytes | str) -> None:
    """Writes `data` to a temporary file in the same folder, syncs it and renames it to `path`. Makes parent folders."""
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    part = _part_of(path)
    try:
        with naming(path), create_locked(part, Path.touch), open(part, "wb") as out:
            out.write(data.encode() if isinstance(data, str) else data)
            out.flush()
            os.fsync(out.fileno())
            os.replace(part, path)
    finally:
        part.unlink(missing_ok=True)


@contextlib.contextmanager
def naming(path: Path) -> Iterator[None]:
    """Gives an OSError of the block the name `path` if it has none: a full disk is met in write(), without a name."""
    try:
        yield
    except OSError as error:
        if error.filename is None and error.errno in _DISK:
            error.filename = str(path)
        raise


def write_if_changed(path: Path, data: str) -> bool:
    """Like `write_atomic`, but does not touch a file that has these bytes already. Returns whether it wrote."""
    if path.exists() and path.read_bytes() == data.encode():
        return False
    write_atomic(path, data)
    return True


def write_json(path: Path, value: Any) -> None:
    write_atomic(path, json.dumps(value, indent=1, sort_keys=False) + "\n")


def write_record(path: Path, record: dict[str, Any]) -> None:
    """Writes a record of finished work as JSON, with a checksum of its own content, so that a changed byte is found."""
    write_json(path, with_checksum(record))


def with_checksum(record: dict[str, Any]) -> dict[str, Any]:
    """The record with the key `checksum`: the sha256 of everything else in it, as compact JSON with sorted keys."""
    rest = {key: value for key, value in record.items() if key != "checksum"}
    text = json.dumps(rest, sort_keys=True, separators=(",", ":"))
    return rest | {"checksum": hashlib.sha256(text.encode()).hexdigest()}


def is_whole(record: dict[str, Any]) -> bool:
    """Whether a record is as it was written. One of an older version, without a checksum, counts as whole."""
    return "checksum" not in record or with_checksum(record)["checksum"] == record["checksum"]


def read_json(path: Path) -> Any | None:
    """The parsed file; None if it does not exist or is not JSON (an unfinished marker counts as no marker)."""
    try:
        return json.loads(Path(path).read_bytes())
    except (FileNotFoundError, NotADirectoryError, ValueError, RecursionError):
        return None


def read_record(path: Path, **kinds: type) -> dict[str, Any] | None:
    """The JSON object in a file, if it has these keys with values of these types; None otherwise, as if it were absent.

    `read_record(marker, lists=dict)`: a mark that is `{}` or damaged in another way counts as no mark.
    """
    value = read_json(path)
    whole = isinstance(value, dict) and all(isinstance(value.get(key), kind) for key, kind in kinds.items())
    return value if whole else None


def load_json(path: Path) -> dict[str, Any]:
    """The JSON object in a file that must be there. Raises UserError where it is absent or something else."""
    value = read_json(path)
    if not isinstance(value, dict):
        raise UserError(f"{path}: absent, or not a JSON object; the command that writes it must run first")
    return value


@contextlib.contextmanager
def new_folder(path: Path) -> Iterator[Path]:
    """Yields an empty temporary folder. Without an error it then replaces `path`; after an error it is removed."""
    path = Path(path)
    with temporary_folder(path) as part:
        yield part
        if path.exists():
            shutil.rmtree(path)
        os.replace(part, path)


@contextlib.contextmanager
def temporary_folder(path: Path) -> Iterator[Path]:
    """Yields an empty folder beside `path`, with the name of its temporary files, and removes it at the end."""
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    part = _part_of(path)
    shutil.rmtree(part, ignore_errors=True)
    try:
        with naming(path), create_locked(part, Path.mkdir):
            yield part
    finally:
        shutil.rmtree(part, ignore_errors=True)


def in_use(path: Path) -> list[Path]:
    """The temporary files and folders beside `path`, for it, whose writers are running."""
    found = []
    for part in path.parent.glob(f".{glob.escape(path.name)}.*.part"):
        with contextlib.suppress(FileNotFoundError):
            descriptor = os.open(part, os.O_RDONLY)
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                found.append(part)
            finally:
                os.close(descriptor)
    return found


def remove_leftovers(folder: Path) -> None:
    """Removes the temporary files and folders of killed writers, in `folder` and below. Those of live writers stay."""
    for parent, folders, files in os.walk(folder):  # os.walk copes with other processes adding and removing files
        for name in [*folders, *files]:
            if name.startswith(".") and name.endswith(".part"):
                _remove_if_abandoned(Path(parent, name))
        folders[:] = [name for name in folders if not name.endswith(".part")]


def sha256(path: Path) -> str:
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def checksums(folder: Path, names: Iterable[str]) -> dict[str, str]:
    """Name -> sha256 of the files of `folder` with these names. Those that are not there are left out."""
    return {name: sha256(folder / name) for name in names if (folder / name).is_file()}


@contextlib.contextmanager
def lock(path: Path) -> Iterator[None]:
    """Waits for an exclusive flock on `path` and holds it. The kernel releases it even after `kill -9`."""
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    with open(path, "a") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


@contextlib.contextmanager
def lock_shared(path: Path) -> Iterator[None]:
    """Waits until nobody holds `lock(path)` and keeps others from taking it; any number of processes may do so at once.

    On a disk that cannot be written nobody takes it, and nothing is held.
    """
    try:
        file = open(path, "a")  # noqa: SIM115  closed below
    except OSError as error:
        if error.errno not in (errno.EROFS, errno.EACCES, errno.ENOENT):
            raise
        yield
        return
    with file:
        fcntl.flock(file, fcntl.LOCK_SH)
        yield


@contextlib.contextmanager
def lock_if_free(path: Path) -> Iterator[bool]:
    """Holds `lock(path)` and yields True; yields False at once if another process holds it."""
    with open(path, "a") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            yield False
        else:
            yield True


def is_locked(path: Path) -> bool:
    """Whether a running process holds `lock(path)`."""
    try:
        with open(path) as file:
            fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except FileNotFoundError:
        return False
    except BlockingIOError:
        return True
    return False


@contextlib.contextmanager
def create_locked(part: Path, create: Callable[[Path], None]) -> Iterator[None]:
    """Creates `part` and holds a lock on it, so that `remove_leftovers` sees that its writer is running."""
    descriptor = None
    while descriptor is None:
        descriptor = _try_create_locked(part, create)
    try:
        yield
    finally:
        os.close(descriptor)


def _try_create_locked(part: Path, create: Callable[[Path], None]) -> int | None:
    """The locked descriptor of the new file or folder; None if it was removed as a leftover before it was locked."""
    create(part)
    try:
        descriptor = os.open(part, os.O_RDONLY)
    except FileNotFoundError:
        return None
    fcntl.flock(descriptor, fcntl.LOCK_SH)
    if _is_same_file(part, descriptor):
        return descriptor
    os.close(descriptor)
    return None


def _remove_if_abandoned(part: Path) -> None:
    try:
        descriptor = os.open(part, os.O_RDONLY)
    except OSError:  # its writer has renamed it by now, or it belongs to another user
        return
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:  # its writer is running; or it is a folder on a file system (NFS) that can lock files only
        return
    else:
        if _is_same_file(part, descriptor):  # else its writer has renamed it, and perhaps begun a new one of that name
            shutil.rmtree(part) if part.is_dir() else part.unlink()
    finally:
        os.close(descriptor)


def _is_same_file(path: Path, descriptor: int) -> bool:
    try:
        return os.path.samestat(os.fstat(descriptor), os.stat(path))
    except FileNotFoundError:
        return False


def _part_of(path: Path) -> Path:
    """The temporary name for `path`: hidden, in the same folder, with the process id, so no two writers share it."""
    return path.with_name(f".{path.name}.{os.getpid()}.part")
