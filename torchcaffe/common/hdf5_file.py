"""HDF5 files. They need h5py, which is imported only when a file is opened: torchcaffe works without it otherwise."""

import io
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING

import numpy as np

from torchcaffe.common import log
from torchcaffe.common.files import write_file
from torchcaffe.common.log import Fatal, check

if TYPE_CHECKING:
    import h5py

_SIGNATURE = b"\x89HDF\r\n\x1a\n"


def is_hdf5(path: str | Path) -> bool:
    """Whether the file exists and begins with the signature of HDF5."""
    path = Path(path)
    if not path.is_file():
        return False
    with path.open("rb") as file:
        return file.read(len(_SIGNATURE)) == _SIGNATURE


def import_h5py(needed_by: str) -> ModuleType:
    """The package h5py. Raises Fatal, which names `needed_by`, if it is not installed."""
    try:
        import h5py
    except ImportError:
        raise Fatal(f"{needed_by} needs the Python package h5py: `pip install h5py`", "hdf5.cpp:1") from None
    return h5py


def as_float32(dataset: "h5py.Dataset", name: str) -> np.ndarray:
    """All values of `dataset`, float32. Raises Fatal, which begins with `name`, if they are not numbers."""
    check(dataset.dtype.kind in "fiu", f"{name}: floats are needed, but the values are {dataset.dtype}", "hdf5.cpp:36")
    log_datatype_class("H5T_FLOAT" if dataset.dtype.kind == "f" else "H5T_INTEGER")
    return dataset[()].astype(np.float32)


@cache
def log_datatype_class(name: str) -> None:
    """Logs the class of the values in a file; once in a process, as Caffe does."""
    log.info("hdf5.cpp:33" if name == "H5T_FLOAT" else "hdf5.cpp:36", f"Datatype class: {name}")


@contextmanager
def new_content(needed_by: str) -> Iterator[tuple["h5py.File", io.BytesIO]]:
    """A new HDF5 file in memory, and its content, which is complete when the `with` has ended. Raises Fatal."""
    out = io.BytesIO()
    with import_h5py(needed_by).File(out, "w") as file:
        yield file, out


@contextmanager
def new_file(path: str | Path) -> Iterator["h5py.File"]:
    """A new HDF5 file, which appears at `path` when the `with` ends. Raises Fatal."""
    with new_content(str(path)) as (file, content):
        yield file
    write_file(path, [content.getbuffer()])


@contextmanager
def open_file(path: str | Path, place: str, kind: str) -> Iterator["h5py.File"]:
    """The HDF5 file `path`, for reading. Any error while it is open becomes a Fatal at Caffe's `place`, which says that
    the file is not an HDF5 file of this `kind`, or is damaged."""
    check(Path(path).is_file(), f"{path}: cannot be read: no such file", place)
    package = import_h5py(str(path))
    try:
        with package.File(path, "r") as file:
            yield file
    except Fatal:
        raise
    except (OSError, KeyError, ValueError, RuntimeError, TypeError, AttributeError, IndexError) as error:
        damaged = f"{path}: not an {kind}, or damaged ({error}); use another one"
        raise Fatal(damaged, place) from None
