"""Data: where the data set is held. Which images a Data layer brings is in tests/torchcaffe/data/."""

from pathlib import Path

import numpy as np
import pytest

import torchcaffe as caffe
from caffeformat import datum, lmdb_file
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
