"""Folders that take long to make, made once for all workers of a test session."""

import fcntl
import os
import tempfile
from collections.abc import Callable
from pathlib import Path

import pytest


def made_once(factory: pytest.TempPathFactory, name: str, make: Callable[[Path], object]) -> Path:
    """A folder that `make(folder)` filled in the first worker that asked for `name`. Tests copy what they change.

    Another worker that asks meanwhile waits. If `make` fails, the next one that asks tries again.
    """
    session = factory.getbasetemp()
    if "PYTEST_XDIST_WORKER" in os.environ:
        session = session.parent  # each worker has a folder in it
    made = session / f"{name}.made"
    with open(session / f"{name}.lock", "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not made.exists():
            folder = tempfile.mkdtemp(prefix=f"{name}-", dir=session)
            make(Path(folder))
            made.write_text(folder)
    return Path(made.read_text())
