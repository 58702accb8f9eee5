"""MemoryData against real Caffe: which rows of a script's arrays a pass takes, and arrays that do not fit."""

import numpy as np
import pytest

import torchcaffe
from caffeformat import FormatError
from tests.helpers.layer_text import layer
from tests.helpers.refusals import refused

MEMORY = layer("MemoryData", "memory_data_param { batch_size: 2 channels: 3 height: 4 width: 5 }", "", "data label")
PASSES = """
net = caffe.Net(given["path"], 1)
out["before"] = np.array(net.blobs["label"].shape)
net.set_input_arrays(given["data"], given["labels"])
for i in range(5):
    if i == 4:
        given["data"][...] = 7
    for name, array in net.forward().items():
        out[f"{i} {name}"] = array.copy()
"""


@pytest.fixture
def path(tmp_path):
    path = tmp_path / "net.prototxt"
    path.write_text(MEMORY + layer("Pooling", "pooling_param { kernel_size: 2 }", "data", "pool", "pool"))
    return path


def test_passes_take_the_rows_over_and_over(real_caffe, path) -> None:
    """The arrays are not copied: what a script changes in them is in the next batch."""
    given = {"data": np.random.default_rng(1).standard_normal((6, 3, 4, 5)).astype(np.float32)}
    given["labels"] = np.arange(6, dtype=np.float32)
    right = real_caffe.run(PASSES, path=str(path), **given)
    net = torchcaffe.Net(path, torchcaffe.TEST)
    assert list(net.blobs["label"].shape) == right["before"].tolist()
    net.set_input_arrays(given["data"], given["labels"])
    for index in range(5):
        if index == 4:
            given["data"][...] = 7
        for name, array in net.forward().items():
            np.testing.assert_array_equal(array, right[f"{index} {name}"])


def test_what_a_script_holds_of_a_blob_is_not_its_own_array(tmp_path) -> None:
    """A later pass writes into the arrays of blobs that a script holds; the script's data and labels stay."""
    path = tmp_path / "net.prototxt"
    memory = MEMORY.replace("channels: 3", "channels: 1")
    path.write_text(memory + layer("Pooling", "pooling_param { kernel_size: 2 }", "data", "pool", "pool"))
    data = np.random.default_rng(1).standard_normal((6, 1, 4, 5)).astype(np.float32)
    labels = np.arange(6, dtype=np.float32)
    net = torchcaffe.Net(path, torchcaffe.TEST)
    net.set_input_arrays(data, labels)
    before = data.copy(), labels.copy()
    held = []
    for index in range(7):
        net.forward()
        held.append((net.blobs["data"].data, net.blobs["label"].data))
        rows = [2 * index % 6, 2 * index % 6 + 1]
        np.testing.assert_array_equal(net.blobs["label"].data.ravel(), rows)
        np.testing.assert_array_equal(net.blobs["data"].data, before[0][rows])
    np.testing.assert_array_equal(data, before[0])
    np.testing.assert_array_equal(labels, before[1])


DATA, LABELS = np.zeros((4, 3, 4, 5), np.float32), np.zeros(4, np.float32)
WRONG = {
    "in another order": (DATA.transpose(0, 1, 3, 2).copy().transpose(0, 1, 3, 2), LABELS, "data array must be C cont"),
    "of three axes": (DATA[0], LABELS, "data array must be 4-d"),
    "of doubles": (DATA.astype(float), LABELS, "data array must be float32"),
    "of other channels": (DATA[:, :2].copy(), LABELS, "data array has wrong number of channels"),
    "of another width": (DATA[..., :2].copy(), LABELS, "data array has wrong width"),
    "labels of doubles": (DATA, LABELS.astype(float), "labels array must be float32"),
    "too few labels": (DATA, LABELS[:2], "data and labels must have the same first dimension"),
    "half a batch": (DATA[:3], LABELS[:3], "first dimensions of input arrays must be a multiple of batch size"),
}
REFUSE = """
net = caffe.Net(given["path"], 1)
try:
    net.set_input_arrays(given["data"], given["labels"])
except RuntimeError as error:
    out["message"] = np.array(str(error))
"""


@pytest.mark.parametrize(("data", "labels", "message"), WRONG.values(), ids=WRONG.keys())
def test_arrays_that_do_not_fit_are_refused_as_in_pycaffe(real_caffe, path, data, labels, message) -> None:
    with pytest.raises(RuntimeError, match=f"^{message}") as error:
        torchcaffe.Net(path, torchcaffe.TEST).set_input_arrays(data, labels)
    if message != "data array must be C cont":  # a file of arrays puts them in order
        assert str(error.value) == str(real_caffe.run(REFUSE, path=str(path), data=data, labels=labels)["message"])


def test_a_pass_without_arrays_and_arrays_without_the_layer_are_refused(tmp_path, path) -> None:
    with pytest.raises(FormatError, match=r"layer 'it' \(MemoryData\): has no data: .*net\.set_input_arrays"):
        torchcaffe.Net(path, torchcaffe.TEST).forward()
    other = tmp_path / "other.prototxt"
    other.write_text(layer("DummyData", "dummy_data_param { shape { dim: 1 } }", "", "x"))
    with pytest.raises(RuntimeError, match="may only be called if the first layer is a MemoryDataLayer"):
        torchcaffe.Net(other, torchcaffe.TEST).set_input_arrays(DATA, LABELS)


def test_a_size_of_zero_is_refused(real_caffe, tmp_path) -> None:
    settings_ = "memory_data_param { batch_size: 2 channels: 3 height: 4 }"
    refused(layer("MemoryData", settings_, "", "x y"), "specified and positive", tmp_path, real_caffe)
