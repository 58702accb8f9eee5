"""One changed bit in a file, as a failing disk changes it: neither its size nor its time tells."""

import os
from pathlib import Path


def flip(path: Path) -> bytes:
    """Flips the lowest bit of the file's middle byte; in JSON, of the next digit, so that it can be read. Returns the
    bytes of before."""
    good, stat = path.read_bytes(), path.stat()
    at = len(good) // 2
    if path.suffix == ".json":
        at = next(i for i in range(at, len(good)) if chr(good[i]).isdigit())
    path.write_bytes(good[:at] + bytes([good[at] ^ 1]) + good[at + 1 :])
    os.utime(path, ns=(stat.st_atime_ns, stat.st_mtime_ns))
    return good
