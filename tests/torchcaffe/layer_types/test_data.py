"""Data: where the data set is held. Which images a Data layer brings is in tests/torchcaffe/data/."""

from pathlib import Path

import numpy as np
import pytest

import torchcaffe as caffe
from caffeformat import datum, lmdb_file
from caffeformat.caffeformat_pb2 import Datum
from tests.helpers.real_caffe import RealCaffe
from torchcaffe.common import context, log
from torchcaffe.common.context import Context
from torchcaffe.data import resident


@pytest.mark.parametrize(
    ("way", "gpu", "room", "line"),
    [
        ("auto", False, 0, ""),
        ("resident", False, 0, "are held on the CPU"),
        ("streamed", True, 10**9, ""),
        ("auto", True, 10**9, "are held on the GPU"),
        ("auto", True, 1000, "are more than 25% of the memory that is free, 0.001 MB: they are read batch by batch"),
        ("resident", True, 0, "are held on the GPU"),
    ],
)
def test_the_log_says_where_a_data_set_is_held(tmp_path: Path, monkeypatch, capsys, way, gpu, room, line) -> None:
    """The GPU is one in name only: the test sees what is decided, not what a GPU holds."""
    images = [(lmdb_file.key(i, f"{i}.jpg"), datum.encode(np.zeros((3, 9, 8), np.uint8), i)) for i in range(37)]
    lmdb_file.write(tmp_path / "lmdb", images)
    caffe.set_mode_cpu()
    monkeypatch.setattr(Context, "on_gpu", gpu)
    monkeypatch.setattr(resident, "room", lambda device: room)
    monkeypatch.setattr(log.Logger, "enabled", True)
    monkeypatch.setattr(context.current(), "data", way)
    data = f'data_param {{ source: "{tmp_path}/lmdb" backend: LMDB batch_size: 4 }}'
    path = tmp_path / "net.prototxt"
    path.write_text(f'layer {{ name: "d" type: "Data" top: "x" {data} }} layer {{ type: "Silence" bottom: "x" }}')
    net = caffe.Net(path, caffe.TRAIN)
    lines = [text.split("] ", 1)[1] for text in capsys.readouterr().err.splitlines() if " images of " in text]
    assert lines == ([f"{tmp_path}/lmdb: 37 images of 0.00814 MB {line}"] if line else [])
    assert net.layers[0].from_host == ("held" not in line)


def test_floats_beside_pixels_are_ignored_as_by_caffe(real_caffe: RealCaffe, tmp_path: Path) -> None:
    random = np.random.default_rng(1)
    records = []
    for i in range(4):
        record = Datum.FromString(datum.encode(random.integers(0, 256, (3, 4, 5), np.uint8), i))
        record.float_data.extend([7.0] * (60 * i))
        records.append((lmdb_file.key(i, f"{i}.jpg"), record.SerializeToString()))
    lmdb_file.write(tmp_path / "lmdb", records)
    path = tmp_path / "net.prototxt"
    data = f'data_param {{ source: "{tmp_path}/lmdb" backend: LMDB batch_size: 4 }}'
    path.write_text(f'layer {{ name: "d" type: "Data" top: "x" top: "label" {data} }}')
    program = 'net = caffe.Net(given["path"], 1)\nout.update({k: v.copy() for k, v in net.forward().items()})'
    right = real_caffe.run(program, path=str(path))
    found = caffe.Net(path, caffe.TEST).forward()
    assert {name: found[name].tolist() for name in right} == {name: array.tolist() for name, array in right.items()}
