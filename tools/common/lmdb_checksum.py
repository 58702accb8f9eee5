"""The checksum of an LMDB's data.mdb, which pack stores in pack.json, and the check of the file against it."""

import hashlib
import os
from pathlib import Path

from tools.common.files import read_json, sha256

CHECKSUM = "data"  # its key in pack.json; LMDBs packed before it was introduced have none
_BLOCK = 4096  # bytes, a page of LMDB
_SAMPLES = 256


def lmdb_checksum(folder: Path) -> dict[str, int | str]:
    """Of data.mdb in `folder`: `bytes` (its size), `sha256` (of the whole file), `sample` (as `sample_checksum`)."""
    data = folder / "data.mdb"
    return {"bytes": data.stat().st_size, "sha256": sha256(data), "sample": sample_checksum(data)}


def sample_checksum(file: Path) -> str:
    """The sha256 of the file's size and of 256 blocks of 4096 bytes.

    These are the first two blocks (LMDB's own header: number of records, number of the last transaction, root), the
    last one, and the others evenly between. It takes a millisecond for a file of any size.
    """
    digest = hashlib.sha256()
    with open(file, "rb", buffering=0) as data:
        size = os.fstat(data.fileno()).st_size
        digest.update(size.to_bytes(8, "little"))
        last = max(0, -(-size // _BLOCK) - 1)
        for block in sorted({0, 1, *(last * number // (_SAMPLES - 2) for number in range(_SAMPLES - 1))}):
            digest.update(os.pread(data.fileno(), _BLOCK, block * _BLOCK))
    return digest.hexdigest()


def lmdb_fault(folder: Path, whole: bool = False) -> str:
    """What is wrong with data.mdb in `folder`, by the checksum in pack.json beside it; empty if nothing is.

    Compares size and samples (a millisecond); with `whole` every byte. An LMDB without a checksum in its pack.json, of
    an older version, counts as unchanged as long as data.mdb is there.
    """
    data = folder / "data.mdb"
    if not data.is_file():
        return f"{data}: not there"
    record = read_json(folder / "pack.json")
    recorded = record.get(CHECKSUM) if isinstance(record, dict) else None
    if not isinstance(recorded, dict):
        return "" if isinstance(record, dict) else f"{folder / 'pack.json'}: not there, or cut off"
    found: dict[str, int | str] = {"bytes": data.stat().st_size, "sample": sample_checksum(data)}
    if whole:
        found["sha256"] = sha256(data)
    wrong = [name for name, value in found.items() if recorded.get(name) != value]
    if not wrong:
        return ""
    if "bytes" in wrong:
        return f"{data}: {found['bytes']} bytes, not the {recorded.get('bytes')} that pack wrote"
    return f"{data}: not the bytes that pack wrote (its sha256 is in pack.json)"
