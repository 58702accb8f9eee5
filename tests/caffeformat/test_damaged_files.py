"""Prototxt, caffemodel, mean image and Datum, damaged: only a FormatError that names the file comes out, soon, and the
memory stays bounded."""

from pathlib import Path

import cv2
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from caffeformat import FormatError, blobs, datum, prototxt
from caffeformat.caffeformat_pb2 import BlobShape
from caffeformat.wire import varint
from tests.helpers.damaged_files import bounds, damaged

CHECKOUT = Path(__file__).resolve().parents[2]
quick = settings(
    max_examples=150,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
)

HUGE = [varint(2**31 - 1), varint(2**32), varint(2**63 - 1), b"\xff" * 12, b"\x80" * 40]
ON_THE_WIRE = [
    *HUGE,
    *(bytes([field << 3 | 2]) + length for field in (1, 2, 5, 7, 8) for length in HUGE),
    *(bytes([field << 3]) + number for field in (1, 2, 3, 4) for number in HUGE),
    b"\x0b" * 5000,  # groups in groups, never closed
    b"\xa2\x06\x7f" * 2000,  # layers in layers
    b"\x3a\x7f" * 2000,  # blobs, or shapes, in each other
    BlobShape(dim=[2**62] * 400).SerializeToString() * 50,
]
IN_TEXT = [
    b"layer { " * 3000,
    b"[" * 5000,
    b"{" * 5000,
    b"<" * 5000,
    b'"' + b"\\" * 5001,
    b"'" * 5001,
    b"input_dim: " + b"9" * 10_000,
    b"input_dim: 0x" + b"f" * 10_000,
    b"layer { power_param { power: 1e99999 } }",
    b"layer { power_param { power: " + b"1" * 10_000 + b" } }",
    b"#" * 10_000,
    b"[caffe.x/y]: 1",
    b'name: "' + b"\\x" * 3000,
    b"\xff\xfe",
    b"\0",
    "\u2028 \u200f \U0001f600".encode(),
]
TEMPLATES = [
    path.read_bytes()
    for path in sorted(CHECKOUT.glob("*s/*.prototxt")) + sorted(CHECKOUT.glob("prototxt/**/*.prototxt"))
]

SAVE = """
import sys
import caffe
net = caffe.Net(sys.argv[1], caffe.TEST)
net.save(sys.argv[2])
"""
NET = """
layer { name: "in" type: "Input" top: "in" input_param { shape { dim: [1, 3, 8, 8] } } }
layer { name: "conv" type: "Convolution" bottom: "in" top: "conv" convolution_param { num_output: 4 kernel_size: 3 } }
layer { name: "bn" type: "BatchNorm" bottom: "conv" top: "bn" }
layer { name: "fc" type: "InnerProduct" bottom: "bn" top: "fc" inner_product_param { num_output: 5 } }
"""


@pytest.fixture(scope="module")
def caffemodel(ask_pycaffe, tmp_path_factory) -> bytes:
    """One that real Caffe wrote."""
    folder = tmp_path_factory.mktemp("model")
    (folder / "net.prototxt").write_text(NET)
    ask_pycaffe(SAVE, folder / "net.prototxt", folder / "net.caffemodel")
    return (folder / "net.caffemodel").read_bytes()


@pytest.fixture(scope="module")
def record(jpegs: Path) -> bytes:
    """The Datum of a real image."""
    image = cv2.imread(str(sorted(jpegs.iterdir())[0]))
    return datum.encode(np.ascontiguousarray(cv2.resize(image, (12, 9)).transpose(2, 0, 1)), 3)


def refused_or_read(read, path: Path, data: bytes) -> object:
    """What `read` returns for a file of `data`; None if it raises a FormatError with the file's name."""
    path.write_bytes(data)
    try:
        with bounds():
            return read(path)
    except FormatError as error:
        assert str(error).startswith(str(path))
        assert len(str(error)) < 5000
        str(error).encode()  # and it can be printed
        return None


@quick
@given(data=st.data())
def test_a_damaged_prototxt(tmp_path_factory: pytest.TempPathFactory, data: st.DataObject) -> None:
    text = data.draw(damaged(TEMPLATES, IN_TEXT))
    path = tmp_path_factory.getbasetemp() / "damaged.prototxt"
    for read in (prototxt.read_net, prototxt.read_solver):
        found = refused_or_read(read, path, text)
        assert found is None or prototxt.parse(prototxt.to_text(found), type(found)(), "again") == found


@quick
@given(data=st.data())
def test_a_damaged_caffemodel(caffemodel: bytes, tmp_path_factory, data: st.DataObject) -> None:
    content = data.draw(damaged([caffemodel], ON_THE_WIRE))
    path = tmp_path_factory.getbasetemp() / "damaged.caffemodel"
    found = refused_or_read(blobs.read_caffemodel, path, content)
    if found is not None:
        assert sum(array.nbytes for arrays in found.values() for array in arrays) <= len(content)


@quick
@given(data=st.data())
def test_a_damaged_mean(tmp_path_factory, data: st.DataObject) -> None:
    content = data.draw(damaged([blobs.mean_bytes(np.ones((3, 8, 9), np.float32))], ON_THE_WIRE))
    found = refused_or_read(blobs.read_mean, tmp_path_factory.getbasetemp() / "damaged.binaryproto", content)
    assert found is None or found.nbytes <= len(content)


@quick
@given(data=st.data())
def test_a_damaged_datum(record: bytes, data: st.DataObject) -> None:
    content = data.draw(damaged([record], ON_THE_WIRE))
    try:
        with bounds():
            image, _ = datum.decode(content)
    except FormatError as error:
        assert "Datum" in str(error)
    else:
        assert 0 < image.nbytes <= len(content)


DEEP = {
    "a million axes": BlobShape(dim=[2**62] * 1_000_000).SerializeToString(),
    "a million sizes of 0": BlobShape(dim=[0] * 1_000_000).SerializeToString(),
}


@pytest.mark.parametrize("shape", DEEP.values(), ids=DEEP.keys())
def test_a_blob_of_a_million_axes_is_refused_at_once(shape: bytes, tmp_path: Path) -> None:
    """The product of so many sizes alone would take hours."""
    blob = b"\x3a" + varint(len(shape)) + shape
    layer = b"\x0a\x02fc\x3a" + varint(len(blob)) + blob
    path = tmp_path / "axes.caffemodel"
    path.write_bytes(b"\xa2\x06" + varint(len(layer)) + layer)
    with (
        bounds(),
        pytest.raises(FormatError, match=r"layer fc, blob 0: its shape has 1000000 axes; the most"),
    ):
        blobs.read_caffemodel(path)
