"""HDF5 files: opened for reading, written whole. They need h5py, which nothing else here does."""

import io
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path

import numpy as np

from torchcaffe.common import log
from torchcaffe.common.files import write_file
from torchcaffe.common.log import Fatal, check

_SIGNATURE = b"\x89HDF\r\n\x1a\n"


def is_hdf5(path: str | Path) -> bool:
    """Whether the file is there and begins as HDF5 files do."""
    path = Path(path)
    if not path.is_file():
        return False
    with path.open("rb") as file:
        return file.read(len(_SIGNATURE)) == _SIGNATURE


def h5py(what: str):
    """The package; `what` needs it."""
    try:
        import h5py
    except ImportError:
        raise Fatal(f"{what} needs the Python package h5py: `pip install h5py`", "hdf5.cpp:1") from None
    return h5py


def as_float32(dataset, what: str) -> np.ndarray:
    """All values of `dataset`; `what` names it. Raises Fatal for what are no numbers."""
    check(dataset.dtype.kind in "fiu", f"{what}: floats are needed; found {dataset.dtype}", "hdf5.cpp:36")
    _tell_class("H5T_FLOAT" if dataset.dtype.kind == "f" else "H5T_INTEGER")
    return dataset[()].astype(np.float32)


@cache
def _tell_class(name: str) -> None:
    """Caffe says it once in a run."""
    log.info("hdf5.cpp:33" if name == "H5T_FLOAT" else "hdf5.cpp:36", f"Datatype class: {name}")


@contextmanager
def new_file(path: str) -> Iterator:
    """A new HDF5 file, which is put at `path` when it is complete."""
    out = io.BytesIO()
    with h5py(path).File(out, "w") as file:
        yield file
    write_file(path, [out.getbuffer()])


@contextmanager
def open_file(path: str | Path, place: str, kind: str) -> Iterator:
    """An HDF5 file to read. Whatever is wrong with it is a Fatal that names it, as no `kind`."""
    check(Path(path).is_file(), f"{path}: cannot be read: no such file", place)
    package = h5py(str(path))
    try:
        with package.File(path, "r") as file:
            yield file
    except Fatal:
        raise
    except (OSError, KeyError, ValueError, RuntimeError, TypeError, AttributeError, IndexError) as error:
        damaged = f"{path}: no {kind}, or damaged ({error}); use another one"
        raise Fatal(damaged, place) from None
