"""Downloads one published file. A download that stopped is resumed, and the file is checked before it is used."""

import hashlib
import os
import re
import shutil
import time
from pathlib import Path

import requests
from requests.adapters import HTTPAdapter
from urllib3.exceptions import HTTPError
from urllib3.util import Retry

from tools.common.errors import UserError
from tools.common.progress import progress
from tools.protocol.register import Remote

# Status codes of temporary faults. A longer wait (Retry-After) is not respected: the user decides about it.
_TEMPORARY = (429, 500, 502, 503, 504)
RETRY = Retry(
    total=3, backoff_factor=1, status_forcelist=_TEMPORARY, respect_retry_after_header=False, raise_on_status=False
)
PAUSE = 1.0  # seconds before a broken transfer is resumed; doubled after each that brings nothing new
_MAX_STALLS = 4  # transfers in a row that bring nothing new
_TIMEOUT = (20, 60)  # seconds to connect, and between two packets
_CHUNK = 1 << 18


class _Refused(Exception):
    """This URL does not give the file. The text says why."""


def download(file: Remote, target: Path) -> str:
    """Downloads `file` to `target` and returns the URL, or "already there" if `target` exists with the right checksum.

    The transfer goes to `target`.part. After an error that file is kept, and the next call resumes it. Raises UserError
    if no URL gives the file, if the disk is too small, and for a wrong size or checksum (see `check`).
    """
    if target.exists():
        check(file, target, target)
        return "already there"
    part = target.with_name(f"{target.name}.part")
    part.parent.mkdir(parents=True, exist_ok=True)
    refusals = []
    with requests.Session() as session:
        for scheme in ("http://", "https://"):
            session.mount(scheme, HTTPAdapter(max_retries=RETRY))
        for url in file.urls:
            try:
                _transfer_all(session, url, file, part)
            except (_Refused, requests.RequestException) as error:
                refusals.append(f"\n  {url}: {_reason(error)}")
                continue
            check(file, part, target)
            os.replace(part, target)
            return url
    kept = f" What has arrived is kept in {part}: the same command goes on from there." if part.exists() else ""
    raise UserError(
        f"{file.name} cannot be downloaded:{''.join(refusals)}\n"
        f"Put a copy of it at {target} by hand and run the same command again, or name a copy with path=...{kept}"
    )


def check(file: Remote, arrived: Path, target: Path) -> None:
    """Raises UserError if `arrived` does not have the size and md5 of `file`; then it is renamed to `target`.bad."""
    size = arrived.stat().st_size
    if file.bytes is not None and size != file.bytes:
        wrong = f"{size:,} bytes, should be {file.bytes:,}"
    elif (digest := md5(arrived)) != file.md5:
        wrong = f"md5 {digest}, should be {file.md5}"
    else:
        return
    bad = target.with_name(f"{target.name}.bad")
    os.replace(arrived, bad)
    raise UserError(
        f"{target}: {wrong}: not the published file. It is kept as {bad}. Run the same command again to download it "
        f"afresh, or, if you trust the file, name it: path={bad}"
    )


def md5(path: Path) -> str:
    with open(path, "rb") as data:
        return hashlib.file_digest(data, lambda: hashlib.md5(usedforsecurity=False)).hexdigest()


def _transfer_all(session: requests.Session, url: str, file: Remote, part: Path) -> None:
    """Transfers until `part` is complete. A broken transfer is resumed as long as the transfers bring something new."""
    most = stalls = 0
    while True:
        broken = _transfer(session, url, file, part)
        if broken is None:
            return
        have = _size(part)
        stalls = 0 if have > most else stalls + 1
        most = max(most, have)
        if stalls >= _MAX_STALLS:
            raise _Refused(f"the transfer broke {stalls} times at {have:,} bytes ({broken})")
        time.sleep(PAUSE * 2**stalls)


def _transfer(session: requests.Session, url: str, file: Remote, part: Path) -> str | None:
    """One request for the missing end of `part`. Returns None if it is complete now, else why the transfer ended."""
    have = _size(part)
    if file.bytes is not None and have >= file.bytes:
        if have == file.bytes:
            return None
        part.unlink()  # longer than the file: not a part of it
        have = 0
    headers = {"Accept-Encoding": "identity"} | ({"Range": f"bytes={have}-"} if have else {})
    with session.get(url, headers=headers, stream=True, timeout=_TIMEOUT) as response:
        if response.status_code == 416:
            if response.headers.get("Content-Range") == f"bytes */{have}":
                return None
            part.unlink()
            return "the server has no such range"
        if response.status_code not in (200, 206):
            raise _Refused(f"HTTP {response.status_code} {response.reason}")
        start = _start(response)
        if start != have:
            if start != 0:
                raise _Refused(f"asked for the bytes from {have:,}, the server sends those from {start:,}")
            part.unlink(missing_ok=True)  # a server without ranges sends all of it again
        total = start + int(response.headers["Content-Length"]) if "Content-Length" in response.headers else file.bytes
        if None not in (total, file.bytes) and total != file.bytes:
            raise _Refused(f"the server's file has {total:,} bytes, the published one {file.bytes:,}")
        require_disk(part.parent, (total or 0) - start, file.name)
        return _write(response, part, start, total, file.name)


def _start(response: requests.Response) -> int:
    """The offset of the response's first byte in the file."""
    if response.status_code == 200:
        return 0
    match = re.match(r"bytes (\d+)-", response.headers.get("Content-Range", ""))
    if not match:
        raise _Refused("HTTP 206 without Content-Range")
    return int(match[1])


def _write(response: requests.Response, part: Path, start: int, total: int | None, name: str) -> str | None:
    """Appends the response to `part`. Returns the reason if it was broken off, else None."""
    written = start
    with open(part, "ab") as out, progress(f"download {name}", (total or 0) >> 20, "MB") as update:
        update(start >> 20)
        try:
            # read1: if the connection breaks within a chunk, iter_content would drop the bytes that have arrived
            while chunk := response.raw.read1(_CHUNK, decode_content=False):
                out.write(chunk)
                update((written + len(chunk) >> 20) - (written >> 20))
                written += len(chunk)
        except HTTPError as error:
            return _reason(error)
        except OSError as error:
            raise UserError(f"{part}: cannot be written: {error.strerror}; make room and run it again") from None
        finally:
            out.flush()
            os.fsync(out.fileno())
    return None if total is None or written == total else "the connection was closed early"


def require_disk(folder: Path, need: int, what: str) -> None:
    """Raises UserError if the disk of `folder` has less than `need` bytes free."""
    free = shutil.disk_usage(folder).free
    if need > free:
        raise UserError(
            f"{folder}: {what} needs {need / 1e6:,.0f} MB of disk, {free / 1e6:,.0f} MB are free; make room, or let "
            f"{folder} be a link to a folder on a larger disk"
        )


def _reason(error: Exception) -> str:
    """The cause below the wrappers of requests and urllib3, in one line."""
    inner = error.args[0] if error.args else error
    return str(getattr(inner, "reason", None) or inner)


def _size(path: Path) -> int:
    return path.stat().st_size if path.exists() else 0
