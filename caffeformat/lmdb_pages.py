"""Looks at the pages of an LMDB file before LMDB reads them through a memory map.

LMDB trusts what its pages say. A damaged one can send it beyond the end of the file, and the kernel then kills the
process (SIGBUS, SIGSEGV, SIGFPE). So the tree is walked first: all inner and leaf pages, not the values on overflow
pages.
The layout is that of LMDB 0.9 (mdb.c: MDB_page, MDB_node, MDB_meta), little-endian.
"""

from pathlib import Path
from typing import NamedTuple

import numpy as np

from caffeformat.errors import FormatError

_MAGIC, _VERSION = 0xBEEFC0DE, 1
_META = 2  # pages at the start of the file
_HEADER, _NODE = 16, 8  # bytes of a page's header, and of a node's
_BRANCH, _LEAF, _IS_META = 0x01, 0x02, 0x08  # flags of a page
_BIG = 0x01  # flag of a node: its value is on overflow pages
_DEEPEST = 32  # LMDB's CURSOR_STACK
_SMALLEST, _LARGEST = 512, 65536  # bytes of a page
_CHUNK = 4096  # pages that are looked at together


class _Meta(NamedTuple):
    """What the newer of the two meta pages says."""

    page_bytes: int
    pages: int
    root: int
    depth: int
    entries: int


def check_pages(file: Path) -> None:
    """Raises FormatError, naming `file`, if it is cut off or a page of its tree leads out of the file or its page."""
    if file.stat().st_size == 0:
        raise FormatError(f"{file}: empty; copy or write it again")
    _check(file, np.asarray(np.memmap(file, np.uint8, "r")))


def _check(file: Path, data: np.ndarray) -> None:
    meta = _meta(file, data)
    if len(data) < meta.pages * meta.page_bytes:
        needed = meta.pages * meta.page_bytes
        raise FormatError(f"{file}: cut off: {len(data)} bytes of {needed}; copy or write it again")
    if meta.entries == 0:
        return
    level, entries, seen = np.array([meta.root]), 0, 0
    for depth in range(meta.depth, 0, -1):
        seen += len(level)
        below = []
        for start in range(0, len(level), _CHUNK):
            numbers = level[start : start + _CHUNK]
            if seen > meta.pages or not ((numbers >= _META) & (numbers < meta.pages)).all():
                raise _damaged(file, "a page number beyond the end of the file")
            pages = data[: meta.pages * meta.page_bytes].reshape(meta.pages, meta.page_bytes)[numbers]
            children, count = _nodes(file, pages, meta, _LEAF if depth == 1 else _BRANCH)
            below.append(children)
            entries += count if depth == 1 else 0
        level = np.concatenate(below)
    if entries != meta.entries:
        raise _damaged(file, f"{entries:,} records in its pages, {meta.entries:,} by its first page")


def _meta(file: Path, data: np.ndarray) -> _Meta:
    first = _read_meta(data, 0)
    second = first and _read_meta(data, first[1].page_bytes)
    if first is None or second is None:
        raise FormatError(
            f"{file}: not an LMDB file of version 1, or its first page is damaged; copy or write it again"
        )
    return max(first, second, key=lambda meta: meta[0])[1]


def _read_meta(data: np.ndarray, start: int) -> tuple[int, _Meta] | None:
    """(transaction, content) of the meta page at `start`; None if there is none."""
    page = data[start : start + 152].tobytes()
    if len(page) < 152:
        return None
    magic, version = np.frombuffer(page, "<u4", 2, 16).tolist()
    page_bytes = int(np.frombuffer(page, "<u4", 1, 40)[0])
    is_size = page_bytes.bit_count() == 1 and _SMALLEST <= page_bytes <= _LARGEST
    if magic != _MAGIC or version != _VERSION or not is_size or not page[10] & _IS_META:
        return None
    depth = int(np.frombuffer(page, "<u2", 1, 94)[0])
    entries, root, last, transaction = np.frombuffer(page, "<u8", 4, 120).tolist()
    if depth > _DEEPEST or last >= 1 << 48:
        return None
    return transaction, _Meta(page_bytes, last + 1, min(root, 1 << 48), depth, entries)


def _nodes(file: Path, pages: np.ndarray, meta: _Meta, kind: int) -> tuple[np.ndarray, int]:
    """The page numbers that branch pages lead to, and the number of nodes. All nodes must end within their page."""
    flags, lower, upper = (pages[:, at : at + 2].copy().view("<u2")[:, 0].astype(np.int64) for at in (10, 12, 14))
    counts = (lower - _HEADER) // 2
    fits = (flags & (_BRANCH | _LEAF) == kind) & (counts > 0) & (lower <= upper) & (upper <= meta.page_bytes)
    if not fits.all():
        raise _damaged(file, f"{np.count_nonzero(~fits)} of its pages are no pages of its tree")
    page = np.repeat(np.arange(len(pages)), counts)
    number = np.arange(len(page)) - np.repeat(np.cumsum(counts) - counts, counts)
    offset = _u2(pages, page, _HEADER + 2 * number)
    is_inside = (offset >= lower[page]) & (offset + _NODE <= meta.page_bytes)
    if not is_inside.all():
        raise _damaged(file, "a record beyond the end of its page")
    low, high, node_flags, key = (_u2(pages, page, offset + at) for at in (0, 2, 4, 6))
    end = offset + _NODE + key
    if kind == _BRANCH:
        if (end > meta.page_bytes).any():
            raise _damaged(file, "a key beyond the end of its page")
        return low | high << 16 | node_flags << 32, len(page)
    size, is_big = low | high << 16, node_flags & _BIG > 0
    if (end + np.where(is_big, 8, size) > meta.page_bytes).any():
        raise _damaged(file, "a record beyond the end of its page")
    words = [_u2(pages, page[is_big], end[is_big] + at) for at in (0, 2, 4, 6)]
    first = words[0] | words[1] << 16 | words[2] << 32 | np.minimum(words[3], 1) << 48
    last = first + (size[is_big] + _HEADER + meta.page_bytes - 1) // meta.page_bytes
    if (first < _META).any() or (last > meta.pages).any():
        raise _damaged(file, "a value beyond the end of the file")
    return np.empty(0, np.int64), len(page)


def _u2(pages: np.ndarray, page: np.ndarray, offset: np.ndarray) -> np.ndarray:
    """The 16-bit numbers at these offsets of these pages."""
    return pages[page, offset].astype(np.int64) | pages[page, offset + 1].astype(np.int64) << 8


def _damaged(file: Path, how: str) -> FormatError:
    return FormatError(f"{file}: damaged ({how}); copy or write it again")
