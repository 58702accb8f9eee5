"""HDF5Data against real Caffe: which rows, in which order, and what is refused."""

import h5py
import numpy as np
import pytest

import torchcaffe
from caffeformat import FormatError
from tests.helpers.data_batches import (
    batches_of_both,
    equal_batches,
    hdf5_layer,
    training_is_caffes_and_resumes_exactly,
)
from tests.helpers.real_caffe import CaffeAborted


@pytest.mark.parametrize("batch", [1, 4, 14, 40])
@pytest.mark.parametrize("shuffle", ["false", "true"], ids=["in order", "shuffled"])
@pytest.mark.parametrize("source", ["one", "all"])
def test_the_rows_of_hdf5_files_are_caffes(real_caffe, tmp_path, figures, hdf5_files, source, shuffle, batch) -> None:
    text = hdf5_layer(f"{hdf5_files}/{source}", f"batch_size: {batch} shuffle: {shuffle}")
    equal_batches(figures, "HDF5Data", *batches_of_both(real_caffe, tmp_path, text, torchcaffe.TRAIN, count=30))


def test_two_layers_shuffle_by_one_sequence(real_caffe, tmp_path, figures, hdf5_files) -> None:
    text = hdf5_layer(f"{hdf5_files}/all", "batch_size: 3 shuffle: true")
    text += text.replace('"it"', '"other"').replace('top: "', 'top: "o')
    for index in range(3):
        with h5py.File(hdf5_files / f"{index}.h5", "r+") as file:
            for name in ("x", "label", "vectors"):
                if f"o{name}" not in file:
                    file[f"o{name}"] = file[name][()]
    equal_batches(figures, "HDF5Data", *batches_of_both(real_caffe, tmp_path, text, torchcaffe.TRAIN, count=20))


HDF5_REFUSALS = {
    "no list": ("{folder}/nowhere", "x", "Failed to open source file: .*nowhere: No such file"),
    "an empty list": ("{folder}/empty", "x", "Must have at least 1 HDF5 filename listed in .*empty"),
    "no file": ("{folder}/missing", "x", "none.h5: cannot be read: no such file"),
    "no HDF5 file": ("{folder}/itself", "x", "not an HDF5 file of data, or damaged"),
    "no such data set": ("{folder}/all", "y", "0.h5: Failed to find HDF5 dataset y; there are label, "),
    "other numbers of rows": ("{folder}/uneven", "x label", "data set label has 3 rows, but x 2"),
}


@pytest.mark.parametrize(("source", "tops", "message"), HDF5_REFUSALS.values(), ids=HDF5_REFUSALS.keys())
def test_an_hdf5_file_that_is_no_good_is_refused(real_caffe, tmp_path, hdf5_files, source, tops, message) -> None:
    (tmp_path / "empty").write_text("\n")
    (tmp_path / "missing").write_text("none.h5")
    (tmp_path / "itself").write_text(f"{tmp_path}/itself")
    (tmp_path / "all").write_text(f"{hdf5_files}/0.h5")
    (tmp_path / "uneven").write_text(f"{tmp_path}/uneven.h5")
    with h5py.File(tmp_path / "uneven.h5", "w") as file:
        file["x"], file["label"] = np.zeros((2, 1)), np.zeros(3)
    path = tmp_path / "net.prototxt"
    path.write_text(hdf5_layer(source.format(folder=tmp_path), tops=tops))
    with pytest.raises(FormatError, match=message):
        torchcaffe.Net(path, torchcaffe.TRAIN)
    with pytest.raises(CaffeAborted):
        real_caffe.run('caffe.Net(given["path"], 0)', path=str(path))


def test_rows_of_another_shape_are_refused(tmp_path, hdf5_files) -> None:
    """BVLC Caffe copies what lies beyond."""
    with h5py.File(tmp_path / "other.h5", "w") as file:
        file["label"] = np.zeros((3, 2))
    (tmp_path / "list").write_text(f"{hdf5_files}/0.h5 {tmp_path}/other.h5")
    path = tmp_path / "net.prototxt"
    path.write_text(hdf5_layer(f"{tmp_path}/list", tops="label"))
    net = torchcaffe.Net(path, torchcaffe.TRAIN)
    with pytest.raises(
        FormatError, match=r"other.h5: data set label has rows of \(2,\), but those of the first .* \(\)"
    ):
        net.forward(), net.forward()


def test_a_shuffled_training_logs_what_caffe_logs_and_resumes_exactly(caffe, tmp_path, hdf5_files) -> None:
    text = hdf5_layer(f"{hdf5_files}/all", "batch_size: 3 shuffle: true", "vectors label")
    training_is_caffes_and_resumes_exactly(caffe, tmp_path, text, "vectors")
