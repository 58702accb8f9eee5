"""Blobs, means and weights: equal bit for bit to what real Caffe wrote, and read by it."""

import json
import struct
import subprocess
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from caffeformat import FormatError, blobs, datum, lmdb_file
from caffeformat.caffeformat_pb2 import BlobProto, BlobShape, NetParameter

FLOATS = arrays.arrays(np.float32, arrays.array_shapes(min_dims=0, max_dims=5, min_side=0, max_side=5))


# ---- Blobs ---------------------------------------------------------------------------------------------------------


@given(FLOATS)
def test_an_array_comes_back_from_a_blob_bit_for_bit(array):
    found = blobs.blob_to_array(BlobProto.FromString(blobs.array_to_blob(array).SerializeToString()))
    assert (found.dtype, found.shape, found.tobytes()) == (np.float32, array.shape, array.tobytes())


@pytest.mark.parametrize("shape", [(), (3, 2), (1, 1, 3, 3)])
def test_a_blob_in_a_file_is_read_in_its_shape(tmp_path, shape):
    array = np.arange(np.prod(shape, dtype=int), dtype=np.float32).reshape(shape)
    (tmp_path / "H").write_bytes(blobs.array_to_blob(array).SerializeToString())
    found = blobs.read_blob(tmp_path / "H")
    assert (found.shape, found.tolist()) == (shape, array.tolist())
    (tmp_path / "H").write_bytes(b"no blob")
    with pytest.raises(FormatError, match=r"H: not a matrix H \(binaryproto\)"):
        blobs.read_blob(tmp_path / "H", "matrix H")


def test_a_blob_is_what_protobuf_makes_of_the_same_values():
    array = np.arange(6, dtype=np.float32).reshape(2, 3)
    assert blobs.array_to_blob(array) == BlobProto(shape=BlobShape(dim=[2, 3]), data=range(6))


def test_a_blob_with_the_four_old_sizes_is_read():
    blob = BlobProto(num=1, channels=2, height=3, width=1, data=range(6))
    assert blobs.blob_to_array(blob).tolist() == [[[[0], [1], [2]], [[3], [4], [5]]]]


def test_the_four_old_sizes_go_before_the_shape_field_as_in_caffe():
    blob = BlobProto(num=1, channels=1, height=2, width=3, shape=BlobShape(dim=[6]), data=range(6))
    assert blobs.blob_to_array(blob).shape == (1, 1, 2, 3)


def test_a_blob_of_doubles_is_read_as_float32():
    blob = BlobProto(shape=BlobShape(dim=[2]), double_data=[0.1, 1e300])
    assert blobs.blob_to_array(blob).tolist() == [np.float32(0.1), np.inf]


WRONG = {
    "a value too few": BlobProto(shape=BlobShape(dim=[2, 3]), data=range(5)),
    "no values": BlobProto(shape=BlobShape(dim=[2, 3])),
    "no shape": BlobProto(data=range(5)),
    "negative sizes": BlobProto(shape=BlobShape(dim=[-1, -5]), data=range(5)),
    "a size to be guessed": BlobProto(shape=BlobShape(dim=[-1, 0]), data=[]),
    "sizes beyond memory": BlobProto(shape=BlobShape(dim=[0, 1 << 62, 1 << 62])),
    "axes beyond numpy": BlobProto(shape=BlobShape(dim=[1] * 100), data=[0]),
}


@pytest.mark.parametrize("blob", WRONG.values(), ids=WRONG.keys())
def test_values_that_do_not_fit_the_shape_are_refused(blob):
    with pytest.raises(FormatError, match=r"blob: .*shape"):
        blobs.blob_to_array(blob)


# ---- Means ---------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def database(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("mean") / "db"
    images = np.random.default_rng(2).integers(0, 256, (30, 3, 7, 5), np.uint8)
    lmdb_file.write(folder, ((lmdb_file.key(i, "x"), datum.encode(image, 0)) for i, image in enumerate(images)))
    return folder


def test_a_mean_file_of_compute_image_mean_is_read_and_written_byte_for_byte(database, caffe_tools, tmp_path):
    path = tmp_path / "mean.binaryproto"
    subprocess.run([caffe_tools / "compute_image_mean", database, path], check=True, capture_output=True)
    mean = blobs.read_mean(path)
    with lmdb_file.open_reader(database) as reader:
        expected = np.mean([datum.decode(value)[0] for _, value in reader], axis=0)
    assert (mean.dtype, mean.shape) == (np.float32, (3, 7, 5))
    assert np.abs(mean - expected).max() < 1e-4
    assert blobs.mean_bytes(mean) == path.read_bytes()


def test_a_mean_with_a_shape_field_is_read(tmp_path):
    path = tmp_path / "mean.binaryproto"
    mean = np.arange(60, dtype=np.float32).reshape(1, 3, 4, 5)
    path.write_bytes(blobs.array_to_blob(mean).SerializeToString())
    assert np.array_equal(blobs.read_mean(path), mean.reshape(3, 4, 5))


NO_MEAN = {
    "no file": (None, "cannot be read: No such file"),
    "an empty file": (b"", "not a mean image"),
    "text": (b"mean: 104\n" * 20, "not a mean image"),
    "cut off": (blobs.mean_bytes(np.zeros((3, 8, 8)))[:-100], "not a mean image (binaryproto), or cut off"),
    "two images": (blobs.array_to_blob(np.zeros((2, 3, 4, 4))).SerializeToString(), "its shape is (2, 3, 4, 4)"),
    "without its leading 1": (
        blobs.array_to_blob(np.zeros((3, 4, 4))).SerializeToString(),
        "its shape is (3, 4, 4); it must be 1, channels, height, width",
    ),
    "a caffemodel": (NetParameter(name="n").SerializeToString(), "not a mean image"),
}


@pytest.mark.parametrize("content, phrase", NO_MEAN.values(), ids=NO_MEAN.keys())
def test_a_file_that_is_no_mean_is_refused(content, phrase, tmp_path):
    path = tmp_path / "mean.binaryproto"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(FormatError) as error:
        blobs.read_mean(path)
    assert str(error.value).startswith(str(path))
    assert phrase in str(error.value)


def test_an_array_that_is_no_image_makes_no_mean():
    with pytest.raises(FormatError, match=r"CHW; this one has the shape \(4, 4\)"):
        blobs.mean_bytes(np.zeros((4, 4)))


# ---- Weights -------------------------------------------------------------------------------------------------------

NET = """
layer { name: "in" type: "Input" top: "in" input_param { shape { dim: [1, 3, 8, 8] } } }
layer { name: "conv" type: "Convolution" bottom: "in" top: "conv"
  convolution_param { num_output: 4 kernel_size: 3 weight_filler { type: "gaussian" std: 1 } } }
layer { name: "relu" type: "ReLU" bottom: "conv" top: "conv" }
layer { name: "fc é" type: "InnerProduct" bottom: "conv" top: "fc"
  inner_product_param { num_output: 5 weight_filler { type: "xavier" } bias_filler { value: 0.1 } } }
"""
SAVE = """
import json, os, sys
import caffe
from caffe.proto import caffe_pb2
os.chdir(sys.argv[1])
net = caffe.Net("net.prototxt", caffe.TEST)
net.save("new.caffemodel")
old = caffe_pb2.NetParameter()
for name, params in net.params.items():
    layer = old.layers.add(name=name)
    for param in params:
        blob = layer.blobs.add(num=1, channels=1, height=1, width=param.count)
        blob.data.extend(param.data.flat)
open("v1.caffemodel", "wb").write(old.SerializeToString())
older = caffe_pb2.NetParameter()
for layer in old.layers:
    older.layers.add().layer.MergeFrom(caffe_pb2.V0LayerParameter(name=layer.name, blobs=layer.blobs))
open("v0.caffemodel", "wb").write(older.SerializeToString())
print(json.dumps({k: [[list(p.data.shape), p.data.tobytes().hex()] for p in v] for k, v in net.params.items()}))
"""


@pytest.fixture(scope="module")
def saved(ask_pycaffe, tmp_path_factory) -> tuple[Path, dict[str, list]]:
    """A folder with new, v1 and v0.caffemodel; and what is in them, layer -> [shape, bytes as hex]."""
    folder = tmp_path_factory.mktemp("weights")
    (folder / "net.prototxt").write_text(NET)
    return folder, json.loads(ask_pycaffe(SAVE, folder))


def test_weights_that_real_caffe_saved_are_read_bit_for_bit(saved):
    folder, expected = saved
    found = blobs.read_caffemodel(folder / "new.caffemodel")
    assert list(found) == ["conv", "fc é"]
    assert {k: [[list(a.shape), a.tobytes().hex()] for a in v] for k, v in found.items()} == expected


@pytest.mark.parametrize("file", ["new.caffemodel", "v1.caffemodel", "v0.caffemodel"])
def test_raw_bytes_are_those_of_the_weights_in_every_format(file, saved):
    folder, expected = saved
    wanted = {name: [bytes.fromhex(values) for _, values in layer] for name, layer in expected.items()}
    assert blobs.layer_blob_bytes(folder / file) == wanted


LOAD = """
import sys
import caffe
net = caffe.Net(sys.argv[1], caffe.TEST, weights=sys.argv[2])
print(net.params["conv"][0].data.tobytes().hex())
"""


def test_real_caffe_loads_weights_that_we_wrote(saved, ask_pycaffe, tmp_path):
    weights = np.random.default_rng(3).standard_normal((4, 3, 3, 3), np.float32)
    layers = {"conv": [weights, np.zeros(4, np.float32)], "not there": [np.ones(())]}
    (tmp_path / "ours.caffemodel").write_bytes(blobs.caffemodel_bytes(layers))
    loaded = ask_pycaffe(LOAD, saved[0] / "net.prototxt", tmp_path / "ours.caffemodel")
    assert loaded.strip() == weights.tobytes().hex()
    back = blobs.read_caffemodel(tmp_path / "ours.caffemodel")
    assert [[array.shape for array in arrays] for arrays in back.values()] == [[(4, 3, 3, 3), (4,)], [()]]


def field(number: int, wire: int, content: bytes) -> bytes:
    """One field of at most 127 bytes on the wire."""
    return bytes([number << 3 | wire]) + (bytes([len(content)]) if wire == 2 else b"") + content


def model(blob: bytes) -> bytes:
    layer = field(1, 2, b"fc") + field(7, 2, blob)
    return b"\xa2\x06" + bytes([len(layer)]) + layer  # field 100, length-delimited


ON_THE_WIRE = {
    "packed": field(5, 2, struct.pack("<3f", 1, 2, 3)),
    "packed in two pieces": field(5, 2, struct.pack("<2f", 1, 2)) + field(5, 2, struct.pack("<f", 3)),
    "not packed": b"".join(field(5, 5, struct.pack("<f", value)) for value in (1, 2, 3)),
    "doubles": field(8, 2, struct.pack("<3d", 1, 2, 3)),
}


@pytest.mark.parametrize("values", ON_THE_WIRE.values(), ids=ON_THE_WIRE.keys())
def test_every_way_to_write_values_is_read(values, tmp_path):
    path = tmp_path / "weights.caffemodel"
    path.write_bytes(model(values + field(7, 2, field(1, 2, bytes([3])))))
    assert blobs.read_caffemodel(path)["fc"][0].tolist() == [1, 2, 3]


def test_a_layer_name_that_is_not_utf8_is_read_with_a_mark(tmp_path):
    path = tmp_path / "weights.caffemodel"
    path.write_bytes(model(ON_THE_WIRE["packed"] + field(7, 2, field(1, 2, b"\3"))).replace(b"fc", b"f\xff"))
    assert list(blobs.read_caffemodel(path)) == ["f\ufffd"]


NO_WEIGHTS = {
    "no file": (None, "cannot be read: No such file"),
    "an empty file": (b"", "it holds no layer"),
    "a prototxt": (NET.encode(), "not a caffemodel, or cut off"),
    "an HDF5 file": (b"\x89HDF\r\n\x1a\n" + bytes(100), "an HDF5 file"),
    "gradients damaged": (model(field(6, 2, b"12345")), "layer fc, blob 0: not a blob, or damaged"),
    "odd bytes": (model(field(5, 2, b"12345")), "layer fc, blob 0: 5 bytes"),
    "values too few": (model(field(5, 2, b"1234") + field(7, 2, field(1, 2, b"\3"))), "1 values, but the shape (3,)"),
}


@pytest.mark.parametrize("content, phrase", NO_WEIGHTS.values(), ids=NO_WEIGHTS.keys())
def test_a_file_that_is_no_caffemodel_is_refused(content, phrase, tmp_path):
    path = tmp_path / "weights.caffemodel"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(FormatError) as error:
        blobs.read_caffemodel(path)
    assert str(error.value).startswith(str(path))
    assert phrase in str(error.value)


@pytest.mark.parametrize("share", [0.1, 0.5, 0.9, 0.999])
def test_a_caffemodel_cut_off_is_refused(share, saved, tmp_path):
    data = (saved[0] / "new.caffemodel").read_bytes()
    (tmp_path / "cut.caffemodel").write_bytes(data[: int(share * len(data))])
    with pytest.raises(FormatError, match=r"cut\.caffemodel: not a caffemodel, or cut off"):
        blobs.read_caffemodel(tmp_path / "cut.caffemodel")


@given(st.binary(max_size=80).flatmap(lambda blob: st.sampled_from([blob, model(blob[:20])])))
def test_whatever_the_bytes_are_only_a_format_error_escapes(tmp_path_factory, data):
    path = tmp_path_factory.getbasetemp() / "fuzz.caffemodel"
    path.write_bytes(data)
    try:
        found = blobs.read_caffemodel(path)
    except FormatError as error:
        assert str(error).startswith(str(path))
    else:
        assert isinstance(found, dict)
