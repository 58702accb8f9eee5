"""Settings of the C library's memory allocator."""

import ctypes

_TRIM_THRESHOLD, _MMAP_THRESHOLD = -1, -3  # of glibc's malloc.h
_LARGEST_KEPT = 32 << 20  # bytes: glibc's upper limit for M_MMAP_THRESHOLD


def keep_freed_memory() -> None:
    """Tells glibc to keep freed memory for the next allocation. Does nothing with another C library.

    Each iteration frees its tensors and allocates them again. By default glibc returns such memory to the system, which
    then fills it with zeros, page by page, in every iteration.
    """
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt:
        mallopt(_MMAP_THRESHOLD, _LARGEST_KEPT)
        mallopt(_TRIM_THRESHOLD, (1 << 31) - 1)
