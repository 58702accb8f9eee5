"""Damaged copies of real files, and the bounds within which a parser has to refuse them or read them."""

import resource
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st

MOST_SECONDS = 5  # of the processor, for one small file
MOST_MEMORY = 512 << 20  # bytes, beside what the process has


@st.composite
def damaged(draw: st.DrawFn, files: list[bytes], pieces: list[bytes]) -> bytes:
    """One of `files`, cut off, with bytes flipped, left out or repeated, or with one of `pieces` put in."""
    data = draw(st.sampled_from(files))
    for _ in range(draw(st.integers(1, 4))):
        start = draw(st.integers(0, len(data)))
        end = start + draw(st.integers(1, 200))
        kind = draw(st.sampled_from(["cut", "flip", "drop", "repeat", "insert"]))
        if kind == "cut":
            data = data[:start]
        elif kind == "flip":
            flip = draw(st.integers(1, 255))
            data = data[:start] + bytes(byte ^ flip for byte in data[start : start + 1]) + data[start + 1 :]
        elif kind == "drop":
            data = data[:start] + data[end:]
        elif kind == "repeat":
            data = data[:end] + data[start:end] * draw(st.sampled_from([1, 2, 100])) + data[end:]
        else:
            data = data[:start] + draw(st.sampled_from(pieces)) + data[start:]
    return data


@contextmanager
def bounds() -> Iterator[None]:
    """What is done inside has MOST_MEMORY, beyond which it ends in a MemoryError, and must not take MOST_SECONDS."""
    pages = int(Path("/proc/self/statm").read_text().split()[0])
    soft, hard = resource.getrlimit(resource.RLIMIT_AS)
    began = time.process_time()
    resource.setrlimit(resource.RLIMIT_AS, (pages * resource.getpagesize() + MOST_MEMORY, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_AS, (soft, hard))
    took = time.process_time() - began
    assert took < MOST_SECONDS, f"{took:.1f} s of the processor"


def quick(examples: int) -> settings:
    """So many examples, even where each takes long or is large."""
    unhealthy = [HealthCheck.too_slow, HealthCheck.data_too_large]
    return settings(max_examples=examples, suppress_health_check=unhealthy)


# Bytes that mean something in a caffemodel or a solverstate: lengths beyond the end, deep nesting, other field types.
SNAPSHOT_PIECES = [
    b"\xff" * 12,
    b"\x0b" * 3000,
    b"\x12\x7f" * 500,
    b"\x3a\xff\xff\xff\xff\x07",
    b"\x18\x00",
    b"\x08\xff\xff\xff\xff\x0f",
]
