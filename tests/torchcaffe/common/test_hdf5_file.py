"""HDF5 files: complete or not written, read as float32, and named in errors."""

import sys
from pathlib import Path

import h5py
import numpy as np
import pytest

from torchcaffe.common import hdf5_file
from torchcaffe.common.log import Fatal


def test_a_new_file_appears_when_it_is_complete(tmp_path: Path) -> None:
    path = tmp_path / "new.h5"
    with hdf5_file.new_file(path) as file:
        file["values"] = np.arange(3)
        assert not path.exists()
    assert hdf5_file.is_hdf5(path)
    with h5py.File(path) as file:
        assert file["values"][()].tolist() == [0, 1, 2]


def test_a_new_file_that_fails_leaves_nothing(tmp_path: Path) -> None:
    with pytest.raises(ZeroDivisionError), hdf5_file.new_file(tmp_path / "new.h5") as file:
        file["values"] = 1 / 0
    assert list(tmp_path.iterdir()) == []


def test_integers_and_doubles_are_read_as_float32_and_words_are_refused(tmp_path: Path) -> None:
    with h5py.File(tmp_path / "values.h5", "w") as file:
        file["integers"], file["doubles"] = np.arange(3), np.array([0.1, 0.2])
        file["words"] = np.array([b"one", b"two"])
    with hdf5_file.open_file(tmp_path / "values.h5", "a.cpp:1", "HDF5 file") as file:
        for name in ("integers", "doubles"):
            values = hdf5_file.as_float32(file[name], name)
            assert values.dtype == np.float32
            np.testing.assert_array_equal(values, file[name][()].astype(np.float32))
        with pytest.raises(Fatal, match=r"^words: floats are needed, but the values are \|S3"):
            hdf5_file.as_float32(file["words"], "words")


@pytest.mark.parametrize(
    ("content", "message"), [(None, "cannot be read: no such file"), (b"text", "not an HDF5 file of Caffe's")]
)
def test_what_is_no_hdf5_file_is_refused_at_caffes_place(tmp_path: Path, content: bytes | None, message: str) -> None:
    path = tmp_path / "it.h5"
    if content is not None:
        path.write_bytes(content)
    assert not hdf5_file.is_hdf5(path)
    with (
        pytest.raises(Fatal, match=rf"it\.h5: {message}") as error,
        hdf5_file.open_file(path, "net.cpp:794", "HDF5 file of Caffe's"),
    ):
        pass
    assert error.value.place == "net.cpp:794"


def test_without_h5py_the_error_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "h5py", None)
    with pytest.raises(Fatal, match=r"^x\.h5 needs the Python package h5py: `pip install h5py`"):
        hdf5_file.import_h5py("x.h5")
