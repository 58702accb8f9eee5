"""Unpacks untrusted archives safely: only regular files below one folder, and no more than the card allows."""

import contextlib
import gzip
import lzma
import os
import shutil
import stat
import tarfile
import zipfile
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import IO

from tools.common.errors import UserError
from tools.common.files import new_folder
from tools.common.progress import progress
from tools.protocol.register import Archive

_DAMAGED = (zipfile.BadZipFile, tarfile.TarError, gzip.BadGzipFile, zlib.error, lzma.LZMAError, EOFError)
_BROKEN = (ValueError, RuntimeError, OverflowError, IndexError)  # what zipfile and tarfile raise for odd headers
_LONGEST_HEADER = 1 << 20  # bytes of a tar's header for names and dates, which tarfile reads into memory whole
_SHOWN = 100  # characters of a member's name in a message


@dataclass(frozen=True)
class _Entry:
    name: str
    kind: str  # file, folder, or a kind that is not allowed: link, device
    size: int
    offset: int  # in the archive, in bytes
    open: Callable[[], IO[bytes] | None]  # None for a folder of a tar archive


@contextlib.contextmanager
def unpacked(archive: Path, folder: Path, limits: Archive) -> Iterator[Path]:
    """Unpacks a zip or tar (any compression) into a temporary folder, yields it, and then renames it to `folder`.

    The caller may add files to it. After an error nothing is left. Raises UserError for a damaged archive, and for one
    that has a path outside its folder, a link, a device, a name twice, or more than `limits` allows. Only contents are
    unpacked: no owner, mode or time.
    """
    with new_folder(folder) as part:
        try:
            _unpack(archive, part, limits)
        except (*_DAMAGED, *_BROKEN) as error:
            raise UserError(f"{archive}: cannot be unpacked: {error}; it is damaged, fetch it again") from None
        yield part
        os.sync()  # once for all files: even after a power cut a folder of this name is complete


def _unpack(archive: Path, part: Path, limits: Archive) -> None:
    files = size = offset = 0
    with open(archive, "rb") as raw, progress("unpack", archive.stat().st_size >> 20, "MB") as update:
        for entry in _entries(archive, raw):
            _require_safe(archive, entry)
            files, size = files + 1, size + entry.size
            if files > limits.most_files or size > limits.most_bytes:
                raise UserError(
                    f"{archive}: unpacks to more than {limits.most_files:,} files or {limits.most_bytes:,} bytes, the "
                    f"most that its card allows: not the data set that it should be"
                )
            try:
                _write(entry, part / entry.name)
            except (FileExistsError, NotADirectoryError):
                raise UserError(f"{archive}: holds {_shown(entry)} twice; it is damaged, fetch it again") from None
            except OSError as error:
                if isinstance(error, _DAMAGED):
                    raise
                raise UserError(f"{archive}: {_shown(entry)} cannot be unpacked: {error.strerror}") from None
            update((entry.offset >> 20) - (offset >> 20))
            offset = entry.offset


def _write(entry: _Entry, target: Path) -> None:
    if entry.kind == "folder":
        target.mkdir(parents=True, exist_ok=True)
        return
    target.parent.mkdir(parents=True, exist_ok=True)
    data = entry.open()
    assert data is not None  # as for every file
    with open(target, "xb") as out, data:
        shutil.copyfileobj(data, out)


def _shown(entry: _Entry) -> str:
    return repr(entry.name if len(entry.name) <= _SHOWN else f"{entry.name[:_SHOWN]}...")


def _require_safe(archive: Path, entry: _Entry) -> None:
    if entry.kind not in ("file", "folder"):
        raise UserError(f"{archive}: holds a {entry.kind}, {_shown(entry)}; a data set has files only, fetch it again")
    if entry.name.startswith("/") or ".." in entry.name.split("/") or "\0" in entry.name:
        raise UserError(f"{archive}: {_shown(entry)} leads out of its folder; do not use this archive, fetch it again")


def _entries(archive: Path, raw: IO[bytes]) -> Iterator[_Entry]:
    if zipfile.is_zipfile(raw):
        with zipfile.ZipFile(raw) as zip_file:
            for info in zip_file.infolist():
                content = partial(zip_file.open, info)
                yield _Entry(info.filename, _zip_kind(info), info.file_size, info.header_offset, content)
        return
    raw.seek(0)
    try:
        with tarfile.open(fileobj=raw, mode="r|*", tarinfo=_Member) as tar:
            for member in tar:
                extract = partial(tar.extractfile, member)
                yield _Entry(member.name, _tar_kind(member), member.size, raw.tell(), extract)
            if tar.fileobj is not None and tar.fileobj.tell() == tar.offset:  # no block of zeros after the last file
                print(
                    f"note: {archive} ends without the mark at the end of a tar: if it was cut off, files are missing"
                )
    except tarfile.ReadError as error:
        raise UserError(f"{archive}: neither a zip nor a whole tar archive ({error}); fetch it again") from None


class _Member(tarfile.TarInfo):
    """A member whose header takes a bounded memory: 6 KB of gzip can be a name of 2 GB."""

    _HEADERS = (tarfile.XHDTYPE, tarfile.XGLTYPE, tarfile.SOLARIS_XHDTYPE)
    _LONG = (tarfile.GNUTYPE_LONGNAME, tarfile.GNUTYPE_LONGLINK)

    def _proc_member(self, tar: tarfile.TarFile) -> tarfile.TarInfo:
        if self.type in (*self._HEADERS, *self._LONG) and self.size > _LONGEST_HEADER:
            raise tarfile.ReadError(f"a header of {self.size:,} bytes")
        member: tarfile.TarInfo = super()._proc_member(tar)  # type: ignore[misc]  # not in the published types
        return member


def _zip_kind(info: zipfile.ZipInfo) -> str:
    mode = info.external_attr >> 16
    if stat.S_ISLNK(mode):
        return "link"
    if info.is_dir():
        return "folder"
    return "file" if stat.S_IFMT(mode) in (0, stat.S_IFREG) else "device"


def _tar_kind(member: tarfile.TarInfo) -> str:
    if member.issym() or member.islnk():
        return "link"
    return "folder" if member.isdir() else "file" if member.isreg() else "device"
