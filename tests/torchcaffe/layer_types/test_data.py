"""Data: where the data set is held. Which images a Data layer brings is in tests/torchcaffe/data/."""

import subprocess
from pathlib import Path

import cv2
import numpy as np
import pytest

import torchcaffe as caffe
from caffeformat import FormatError, datum, lmdb_file
from caffeformat.caffeformat_pb2 import Datum
from tests.helpers.data_batches import BATCHES, batches, batches_of_both, equal_batches
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


def test_floats_beside_pixels_are_ignored_as_by_caffe(real_caffe, tmp_path, figures) -> None:
    random = np.random.default_rng(1)
    records = []
    for i in range(4):
        record = Datum.FromString(datum.encode(random.integers(0, 256, (3, 4, 5), np.uint8), i))
        record.float_data.extend([7.0] * (60 * i))
        records.append((lmdb_file.key(i, f"{i}.jpg"), record.SerializeToString()))
    lmdb_file.write(tmp_path / "lmdb", records)
    equal_batches(figures, "Data", *batches_of_both(real_caffe, tmp_path, data_layer(tmp_path, 4), caffe.TEST, count=2))


def data_layer(folder: Path, batch: int, transform: str = "", backend: str = "LMDB") -> str:
    return f"""layer {{ name: "it" type: "Data" top: "data" top: "label" transform_param {{ {transform} }}
        data_param {{ source: "{folder}/{backend.lower()}" backend: {backend} batch_size: {batch} }} }}"""


TRANSFORMS = ["", "crop_size: 4 mirror: true scale: 0.3 mean_value: 100 mean_value: 90.5 mean_value: -3"]


@pytest.mark.parametrize("way", ["streamed", "resident"])
@pytest.mark.parametrize("transform", TRANSFORMS, ids=["plain", "transformed"])
def test_floats(real_caffe, tmp_path, figures, monkeypatch, transform, way) -> None:
    random = np.random.default_rng(1)
    values = (random.standard_normal((5, 60)) * [[1], [1e-3], [1e6], [1], [0]]).astype(np.float32)
    records = [Datum(channels=3, height=4, width=5, float_data=row, label=i) for i, row in enumerate(values)]
    lmdb_file.write(tmp_path / "lmdb", [(b"%d" % i, record.SerializeToString()) for i, record in enumerate(records)])
    monkeypatch.setattr(context.current(), "data", way)
    found, right = batches_of_both(real_caffe, tmp_path, data_layer(tmp_path, 3, transform), caffe.TRAIN, count=4)
    equal_batches(figures, "Data", found, right)


@pytest.mark.parametrize(
    "more",
    ["prefetch: 1", "force_encoded_color: true", "crop_size: 2", "mirror: true", "scale: 3", 'mean_file: "none"'],
)
def test_fields_of_old_prototxts_that_caffe_does_not_read_change_nothing(
    real_caffe, tmp_path, figures, more: str
) -> None:
    """In a `layer`, Caffe reads a transformation in transform_param only; it upgrades those of a V1 `layers`."""
    images = np.random.default_rng(1).integers(0, 256, (5, 3, 4, 5), np.uint8)
    lmdb_file.write(tmp_path / "lmdb", [(b"%d" % i, datum.encode(image, i)) for i, image in enumerate(images)])
    text = data_layer(tmp_path, 3).replace("batch_size: 3", f"batch_size: 3 {more}")
    found, right = batches_of_both(real_caffe, tmp_path, text, caffe.TRAIN, count=2)
    equal_batches(figures, "Data", found, right)


SIZES = [(3, 8, 9), (3, 8, 9), (3, 7, 12), (3, 11, 5), (3, 8, 9)]


@pytest.fixture
def several_sizes(tmp_path) -> Path:
    random = np.random.default_rng(1)
    images = [datum.encode(random.integers(0, 256, shape, np.uint8), i) for i, shape in enumerate(SIZES)]
    lmdb_file.write(tmp_path / "lmdb", [(b"%d" % i, image) for i, image in enumerate(images)])
    return tmp_path


@pytest.mark.parametrize(("batch", "transform"), [(1, ""), (1, TRANSFORMS[1]), (3, TRANSFORMS[1])], ids=str)
def test_images_of_several_sizes_and_the_layers_behind(
    real_caffe, several_sizes, figures, monkeypatch, batch, transform
) -> None:
    """Also on a GPU that would hold images of one size."""
    text = (
        data_layer(several_sizes, batch, transform)
        + """
        layer { name: "pool" type: "Pooling" bottom: "data" top: "pool" pooling_param { kernel_size: 3 } }
        layer { name: "flat" type: "Flatten" bottom: "pool" top: "flat" }"""
    )
    found, right = batches_of_both(real_caffe, several_sizes, text, caffe.TRAIN, count=11)
    equal_batches(figures, "Data", found, right)


def test_images_of_several_sizes_are_not_held(several_sizes, monkeypatch, capsys) -> None:
    monkeypatch.setattr(Context, "on_gpu", True)
    monkeypatch.setattr(resident, "room", lambda device: 10**9)
    monkeypatch.setattr(log.Logger, "enabled", True)
    path = several_sizes / "net.prototxt"
    path.write_text(data_layer(several_sizes, 1))
    assert caffe.Net(path, caffe.TEST).layers[0].from_host
    line = "record 2 is an image of uint8 3x7x12, but the first is one of uint8 3x8x9: they are read batch by batch"
    assert line in capsys.readouterr().err
    monkeypatch.setattr(context.current(), "data", "resident")
    with pytest.raises(FormatError, match=r"record 2 is an image of .*; --data=resident needs images of one kind"):
        caffe.Net(path, caffe.TEST)


def test_a_leveldb(caffe_tools, real_caffe, tmp_path, figures) -> None:
    """Read by two layers of one process, as by the nets to train and to test."""
    random = np.random.default_rng(1)
    for i in range(6):
        assert cv2.imwrite(str(tmp_path / f"{i}.png"), random.integers(0, 256, (8, 9, 3), np.uint8))
    (tmp_path / "list").write_text("".join(f"{i}.png {i}\n" for i in range(6)))
    command = [caffe_tools / "convert_imageset", "--backend=leveldb", f"{tmp_path}/", "list", "leveldb"]
    subprocess.run(command, cwd=tmp_path, check=True, capture_output=True)
    text = data_layer(tmp_path, 4, "mirror: true", "LEVELDB")
    right = real_caffe.run(BATCHES, net=real_caffe.net_file(text), phase=0, count=5, seed=3)
    found = batches(tmp_path, text, caffe.TRAIN, count=5)
    equal_batches(figures, "Data", found, right)
    nets = [caffe.Net(tmp_path / "net.prototxt", phase) for phase in (caffe.TRAIN, caffe.TEST)]
    assert [net.forward()["label"].tolist() for net in nets] == [[0, 1, 2, 3]] * 2


@pytest.mark.parametrize("transform", ["", "crop_size: 4 mirror: true"])
def test_a_state_between_batches_that_were_read_together_goes_on_with_the_next(tmp_path: Path, transform: str) -> None:
    images = np.random.default_rng(1).integers(0, 256, (23, 1, 6, 6), np.uint8)
    lmdb_file.write(tmp_path / "db", [(lmdb_file.key(i, ""), datum.encode(each, i)) for i, each in enumerate(images)])
    (tmp_path / "net.prototxt").write_text(
        f'layer {{ name: "d" type: "Data" top: "x" top: "label" transform_param {{ {transform} }} '
        f'data_param {{ source: "{tmp_path}/db" batch_size: 3 backend: LMDB }} }}'
    )
    net, other = (caffe.Net(tmp_path / "net.prototxt", caffe.TRAIN) for _ in range(2))
    for count in (0, 1, 7, 8, 12):
        for _ in range(count):
            net.forward()
        state = net.layers[0].state()
        right = [{name: blob.copy() for name, blob in net.forward().items()} for _ in range(10)]
        other.layers[0].restore(state)
        for expected in right:
            for name, blob in other.forward().items():
                np.testing.assert_array_equal(blob, expected[name])
