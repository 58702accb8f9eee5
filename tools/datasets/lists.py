"""Text files that come with a data set: one entry a line. A byte order mark and blank lines mean nothing."""

import codecs
from pathlib import Path

from tools.common.errors import UserError


def read_lines(file: Path) -> list[tuple[int, str]]:
    """(number from 1, line without its end) of every line that is not blank. Raises UserError where it is no text."""
    try:
        data = file.read_bytes()
    except OSError as error:
        raise UserError(f"{file}: cannot be read: {error.strerror}") from None
    wide = data.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE))
    try:
        text = data.decode("utf-16" if wide else "utf-8-sig")
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        raise UserError(f"{file}:{line}: not UTF-8 text ({error.reason}); save the list as UTF-8") from None
    lines = ((number, line.rstrip("\r")) for number, line in enumerate(text.split("\n"), 1))
    return [(number, line) for number, line in lines if line.strip()]
