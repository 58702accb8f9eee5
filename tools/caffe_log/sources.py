"""Opens a log as text, whatever it is packed in: plain, gzip, UTF-8 or UTF-16, a file or standard input."""

import gzip
import io
import re
import shutil
import sys
import tempfile
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import IO

_PIECE = 1 << 16  # characters
_UTF8 = "utf-8-sig"
_GLOG_BYTES = re.compile(rb"[IWEF]\d{4,8} \d\d:\d\d:\d\d\.")  # a line of a log in UTF-8, also within UTF-16
_GZIP = b"\x1f\x8b"
_PACKED = {b"\xfd7zXZ\0": "xz", b"BZh": "bzip2", b"\x28\xb5\x2f\xfd": "zstd", b"PK\3\4": "zip", b"7z\xbc\xaf": "7z"}
_TAR = slice(257, 262)  # where a tar archive says `ustar`


class LogSource:
    """The lines of one log. They can be read several times, also from standard input or a pipe, by a temporary copy.

    The content decides the format, not the file's name. A log of which one part is UTF-8 and another UTF-16 (PowerShell
    appends UTF-16) is read as UTF-8 without zero bytes: of the other part only ASCII is right.
    Raises OSError if the log cannot be read, also when a gzip file is damaged or cut off, and for other archives, which
    may hold several logs.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._copy: IO[bytes] | None = None
        if str(path) == "-":
            self._copy = _copy_of(sys.stdin.buffer)
        elif path.is_fifo():
            with open(path, "rb") as pipe:
                self._copy = _copy_of(pipe)

    def lines(self) -> Iterator[str]:
        """The lines with their line ends. Bytes that are no text become U+FFFD."""
        return self._read(iter)

    def texts(self) -> Iterator[str]:
        """The same text in pieces of many whole lines each. The last line of all may lack its line end."""
        return self._read(_pieces)

    def _read(self, parts: Callable[[io.TextIOWrapper], Iterator[str]]) -> Iterator[str]:
        file = self._open()
        if file.peek(2).startswith(_GZIP):
            return _unpacked(file, parts)
        return _without_zeros(parts(_text(_no_archive(file))))

    def _open(self) -> io.BufferedReader:
        if self._copy is None:
            return open(self._path, "rb")
        self._copy.seek(0)
        return io.BufferedReader(io.FileIO(self._copy.fileno(), closefd=False))


def _pieces(text: io.TextIOWrapper) -> Iterator[str]:
    while piece := text.read(_PIECE):
        yield piece + text.readline()


def _without_zeros(parts: Iterator[str]) -> Iterator[str]:
    """Read as UTF-8, UTF-16 that was appended has a zero byte beside each letter."""
    return (part.replace("\0", "") for part in parts)


def _unpacked(file: io.BufferedReader, parts: Callable[[io.TextIOWrapper], Iterator[str]]) -> Iterator[str]:
    try:
        yield from _without_zeros(parts(_text(_no_archive(io.BufferedReader(gzip.GzipFile(fileobj=file))))))
    except (EOFError, zlib.error, gzip.BadGzipFile) as error:
        raise OSError(None, f"the gzip data is damaged or cut off ({error})") from error


def _no_archive(content: io.BufferedReader) -> io.BufferedReader:
    head = content.peek(512)
    kind = next((kind for magic, kind in _PACKED.items() if head.startswith(magic)), "")
    kind = "tar" if head[_TAR] == b"ustar" else kind
    if kind:
        raise OSError(None, f"it is packed by {kind}, and only gzip is unpacked here")
    return content


def _text(content: io.BufferedReader) -> io.TextIOWrapper:
    encoding = _encoding(content.peek(4)[:4])
    if encoding != _UTF8:
        if any(_GLOG_BYTES.search(line) for line in content):
            encoding = _UTF8
        content.seek(0)
    return io.TextIOWrapper(content, encoding=encoding, errors="replace", newline="\n")


def _copy_of(stream: IO[bytes]) -> IO[bytes]:
    copy = tempfile.TemporaryFile()  # noqa: SIM115  # closed with the source, its only user
    shutil.copyfileobj(stream, copy)
    return copy


def _encoding(head: bytes) -> str:
    """From the first four bytes. UTF-16 has a zero byte beside each ASCII letter, with a byte order mark or without."""
    letter = head[2:] if head[:2] in (b"\xff\xfe", b"\xfe\xff") else head[:2]
    if len(head) == 4 and letter[1] == 0 < letter[0] < 128 and head[:2] != b"\xfe\xff":
        return "utf-16" if head[:2] == b"\xff\xfe" else "utf-16-le"
    if len(head) == 4 and letter[0] == 0 < letter[1] < 128 and head[:2] != b"\xff\xfe":
        return "utf-16" if head[:2] == b"\xfe\xff" else "utf-16-be"
    return _UTF8
