"""The bytes of an image file, without what decodes them."""

import os
import stat
from pathlib import Path


class BadImage(Exception):
    """A file that cannot be read as an image, or is cut off. The text says why."""


def read_file(path: Path | str) -> bytes:
    """The bytes of a regular file. Raises BadImage, without waiting, for a pipe or device: these may never end."""
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK)
        try:
            status = os.fstat(descriptor)
            if not stat.S_ISREG(status.st_mode):
                raise BadImage("Is a directory" if stat.S_ISDIR(status.st_mode) else "not a regular file")
            data = os.read(descriptor, status.st_size + 1)
            if len(data) == status.st_size:
                return data
            parts = [data]  # a file that grows, a read in parts
            while part := os.read(descriptor, 1 << 20):
                parts.append(part)
            return b"".join(parts)
        finally:
            os.close(descriptor)
    except OSError as error:
        raise BadImage(error.strerror or "cannot be read") from None
