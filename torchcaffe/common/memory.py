"""What the C library does with memory that is freed."""

import ctypes

_TRIM_THRESHOLD, _MMAP_THRESHOLD = -1, -3  # of glibc's malloc.h
_LARGEST_KEPT = 32 << 20  # bytes: the most that glibc takes for a threshold


def keep_what_is_freed() -> None:
    """The tensors of an iteration are freed and asked for again in the next. Left alone, glibc hands their memory back
    to the system, which fills it with zeros, page by page, each time. Other C libraries are left as they are."""
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt:
        mallopt(_MMAP_THRESHOLD, _LARGEST_KEPT)
        mallopt(_TRIM_THRESHOLD, (1 << 31) - 1)
