"""HDF5Output against real Caffe: the file, and a second batch."""

from pathlib import Path

import h5py
import numpy as np
import pytest

import torchcaffe
from caffeformat import FormatError
from tests.helpers import engine_runs
from tests.helpers.data_batches import forget_earlier_runs, hdf5_layer

OUTPUT = """
layer { name: "ip" type: "InnerProduct" bottom: "vectors" top: "ip" inner_product_param { num_output: 6
  weight_filler { type: "xavier" } } }
layer { name: "out" type: "HDF5Output" bottom: "ip" bottom: "label" hdf5_output_param { file_name: "out.h5" } }
"""


def test_hdf5_output_writes_what_caffe_writes(real_caffe, caffe: Path, tmp_path: Path, hdf5_files: Path) -> None:
    logs = {}
    for engine in ("real", "ours"):
        folder = tmp_path / engine
        folder.mkdir()
        text = hdf5_layer(f"{hdf5_files}/all", "batch_size: 9", "vectors label") + OUTPUT
        (folder / "net.prototxt").write_text(text)
        if engine == "real":
            weights = tmp_path / "weights.caffemodel"
            real_caffe.run('caffe.Net(given["net"], 1).save(given["to"])', net=real_caffe.net_file(
                text.replace("HDF5Output", "Silence")), to=str(weights))  # fmt: skip
        forget_earlier_runs()
        arguments = ("test", "--model=net.prototxt", "--weights=../weights.caffemodel", "--iterations=1")
        logs[engine] = (
            engine_runs.real(caffe, folder, *arguments) if engine == "real" else engine_runs.ours(folder, *arguments)
        )
        assert logs[engine].code == 0, logs[engine].log[-2000:]
    right, found = (h5py.File(tmp_path / engine / "out.h5") for engine in ("real", "ours"))
    assert list(found) == list(right) == ["data", "label"]
    for name in right:
        assert (found[name].shape, found[name].dtype) == (right[name].shape, right[name].dtype)
        np.testing.assert_allclose(found[name][()], right[name][()], rtol=1e-5, atol=1e-6)
    engine_runs.same(logs["ours"], logs["real"])


def test_a_second_batch_is_refused_as_by_caffe(caffe: Path, tmp_path: Path, hdf5_files: Path) -> None:
    (tmp_path / "net.prototxt").write_text(hdf5_layer(f"{hdf5_files}/all", "batch_size: 9", "vectors label") + OUTPUT)
    (tmp_path / "none.caffemodel").write_bytes(b"")
    arguments = ("test", "--model=net.prototxt", "--weights=none.caffemodel", "--iterations=2")
    assert engine_runs.real(caffe, tmp_path, *arguments).code not in (0, 1)
    (tmp_path / "out.h5").unlink()
    net = torchcaffe.Net(tmp_path / "net.prototxt", torchcaffe.TEST)
    with engine_runs.contextlib.chdir(tmp_path):
        net.forward()
        with pytest.raises(FormatError, match=r"layer 'out': out.h5 holds a batch already.* run one iteration"):
            net.forward()
    assert h5py.File(tmp_path / "out.h5")["data"].shape == (9, 6, 1, 1)
