"""The arrays of blobs are the net's own memory, as in pycaffe: written through any view, and never stale."""

from pathlib import Path

import numpy as np
import pytest

import torchcaffe as caffe
from tests.helpers.both_engines import net_of
from tests.helpers.real_caffe import RealCaffe
from torchcaffe.common import host_arrays

CONV = """convolution_param { num_output: 4 kernel_size: 3 group: 2 weight_filler { type: "gaussian" std: 0.3 }
  bias_filler { type: "constant" value: 0.1 } }"""
NET = f"""
layer {{ name: "conv" type: "Convolution" bottom: "x" top: "conv" {CONV} }}
layer {{ name: "relu" type: "ReLU" bottom: "conv" top: "conv" }}
layer {{ name: "one" type: "Convolution" bottom: "conv" top: "one" convolution_param {{ num_output: 4 kernel_size: 1
  weight_filler {{ type: "xavier" }} }} }}
layer {{ name: "sum" type: "Eltwise" bottom: "conv" bottom: "one" top: "sum" }}
layer {{ name: "flat" type: "Flatten" bottom: "sum" top: "flat" }}
layer {{ name: "ip" type: "InnerProduct" bottom: "flat" top: "ip" inner_product_param {{ num_output: 5
  weight_filler {{ type: "gaussian" std: 0.1 }} }} }}
"""
START = """
caffe.set_random_seed(3)
net = caffe.Net(given["path"], 1)
def keep(name, value):
    out[name] = np.array(value)
"""


@pytest.fixture
def net_file(tmp_path: Path) -> Path:
    path = tmp_path / "net.prototxt"
    path.write_text(net_of(NET, x=(2, 4, 6, 6)))
    return path


def agree(real_caffe: RealCaffe, net_file: Path, program: str) -> dict[str, np.ndarray]:
    """Runs `program` in pycaffe and here, and compares all that it keeps. Returns what was kept here."""
    random = np.random.default_rng(4)
    given = {"x": random.standard_normal((2, 4, 6, 6)).astype(np.float32), "d": random.standard_normal((2, 5))}
    right = real_caffe.run(START + program, path=str(net_file), **given)
    found: dict[str, np.ndarray] = {}
    exec(START + program, {"caffe": caffe, "np": np, "given": {"path": net_file, **given}, "out": found})
    assert found.keys() == right.keys() and found
    for name in right:
        assert found[name].shape == right[name].shape, name
        np.testing.assert_allclose(found[name], right[name], rtol=1e-4, atol=1e-5, err_msg=name)
    return found


WRITES = {
    "reshape": "array.reshape(-1)[:] = 0.25",
    "ravel": "array.ravel()[::2] = 0.25",
    "one": "array[0].reshape(-1)[1] = 0.25",
    "flat": "array.flat[3] = 0.25",
    "view": "array.view().shape = (-1,); array[...] *= 2",
    "in place": "np.multiply(array, 0.5, out=array)",
    "transposed": "array.T[...] = 0.125",
}


@pytest.mark.parametrize("write", WRITES.values(), ids=WRITES)
def test_weights_are_written_through_any_view(real_caffe: RealCaffe, net_file: Path, write: str) -> None:
    agree(
        real_caffe,
        net_file,
        f"""
array = net.params["conv"][0].data
assert array.flags["C_CONTIGUOUS"] and array.flags["WRITEABLE"]
{write}
keep("weights", net.params["conv"][0].data)
keep("y", net.forward(x=given["x"])["ip"])
""",
    )


@pytest.mark.parametrize("write", WRITES.values(), ids=WRITES)
@pytest.mark.parametrize("blob", ["conv", "sum", "flat", "conv_relu_0_split_1"])
def test_blobs_are_written_through_any_view(real_caffe: RealCaffe, net_file: Path, blob: str, write: str) -> None:
    """The later layers see it, also those whose bottom has the same memory in Caffe: the tops of Split and Flatten."""
    agree(
        real_caffe,
        net_file,
        f"""
net.forward(x=given["x"])
array = net.blobs["{blob}"].data
assert array.flags["C_CONTIGUOUS"]
{write}
for name in net.blobs:
    keep(name, net.blobs[name].data)
keep("y", net.forward(start="ip")["ip"])
keep("from one", net.forward(start="one")["ip"])
""",
    )


@pytest.mark.parametrize("blob", ["one", "sum", "conv", "flat"])
def test_gradients_are_written_and_change_no_other_blobs_gradient(
    real_caffe: RealCaffe, net_file: Path, blob: str
) -> None:
    """The sum passes its gradient on as it is; in Caffe each blob has a copy."""
    agree(
        real_caffe,
        net_file,
        f"""
net.forward(x=given["x"])
net.backward(ip=given["d"])
held = net.blobs["{blob}"].diff
net.backward(ip=given["d"] * 2)
keep("held", held)
held.reshape(-1)[:] = 1
for name in ["x", "conv", "one", "sum"] if "{blob}" != "flat" else ["conv", "one"]:
    keep(name, net.blobs[name].diff)
net.backward(start="sum")
keep("dx", net.blobs["x"].diff)
keep("dw", net.params["conv"][0].diff)
net.params["conv"][0].diff.ravel()[:] = 7
keep("dw 7", net.params["conv"][0].diff)
""",
    )


def test_an_array_that_a_script_holds_shows_every_later_pass(real_caffe: RealCaffe, net_file: Path) -> None:
    agree(
        real_caffe,
        net_file,
        """
net.forward()
net.backward()  # pycaffe's array of a gradient that moves at the first pass is dangling
held = {name: (blob.data, blob.diff[0:1].reshape(-1)) for name, blob in net.blobs.items()}
weights, their_diff = net.params["conv"][0].data[1], net.params["conv"][0].diff.reshape(-1)
for number in range(3):
    net.forward(x=given["x"] * number)
    net.backward(ip=given["d"])
    for name in ["x", "conv", "one", "sum", "ip"]:
        keep("%s %d" % (name, number), held[name][0])
        keep("%s diff %d" % (name, number), held[name][1])
    weights -= 0.001 * number
    keep("weights %d" % number, weights)
    keep("dw %d" % number, their_diff)
net.clear_param_diffs()
keep("cleared", their_diff)
""",
    )


def test_after_a_part_of_a_pass_blobs_of_the_same_memory_have_the_same_values(
    real_caffe: RealCaffe, net_file: Path
) -> None:
    agree(
        real_caffe,
        net_file,
        """
net.forward(x=given["x"])
net.backward(ip=given["d"])
net.blobs["conv"].data[...] = 0.5
net.forward(start="one", end="sum")
keep("flat", net.blobs["flat"].data)
keep("y", net.forward(start="ip")["ip"])
net.blobs["ip"].diff[...] = 1
net.backward(start="ip", end="ip")
keep("d sum", net.blobs["sum"].diff)
keep("d flat", net.blobs["flat"].diff)
net.backward(start="sum")
keep("dx", net.blobs["x"].diff)
""",
    )


def test_a_reshaped_blob_has_new_arrays_and_the_old_ones_are_no_danger(real_caffe: RealCaffe, net_file: Path) -> None:
    net = caffe.Net(net_file, caffe.TEST)
    old = net.blobs["x"].data
    net.blobs["x"].reshape(5, 4, 6, 6)
    net.blobs["x"].data[...] = 2
    net.forward()
    old[...] = 7
    assert old.shape == (2, 4, 6, 6) and net.blobs["ip"].data.shape == (5, 5)
    assert (net.blobs["x"].data == 2).all()


def test_weights_that_nets_share_stay_shared_when_a_script_asks_for_them(real_caffe: RealCaffe, net_file: Path) -> None:
    agree(
        real_caffe,
        net_file,
        """
other = caffe.Net(given["path"], 1)
other.share_with(net)
net.params["conv"][0].data.reshape(-1)[:5] = 3
other.params["ip"][0].data.ravel()[:5] = 4
keep("other", other.forward(x=given["x"])["ip"])
keep("net", net.forward(x=given["x"])["ip"])
""",
    )


def test_arrays_with_negative_strides_of_other_types_and_read_only_are_taken(
    real_caffe: RealCaffe, net_file: Path
) -> None:
    agree(
        real_caffe,
        net_file,
        """
keep("turned", net.forward(x=given["x"][:, ::-1, :, ::-1])["ip"])
net.blobs["x"].data[...] = given["x"][..., ::-1].astype(">f8")
keep("swapped", net.forward()["ip"])
fixed = given["x"].copy()
fixed.flags.writeable = False
keep("fixed", net.forward(x=fixed)["ip"])
""",
    )


def test_an_array_that_nobody_holds_costs_nothing_later(net_file: Path) -> None:
    net, before = caffe.Net(net_file, caffe.TEST), set(host_arrays._held)
    net.blobs["conv"].data.sum()
    net.params["conv"][0].diff.max()
    assert not host_arrays._held.keys() - before
    held = net.blobs["conv"].data[0]
    assert len(host_arrays._held.keys() - before) == 1
    net.forward()
    assert len(host_arrays._held.keys() - before) == 1
    del held
    assert not host_arrays._held.keys() - before


def test_where_numpy_cannot_use_the_memory_arrays_are_copied_to_and_fro(
    monkeypatch: pytest.MonkeyPatch, net_file: Path
) -> None:
    """As on a GPU: uploaded before the next pass, and downloaded after it while a script holds them."""
    x = np.random.default_rng(1).standard_normal((2, 4, 6, 6)).astype(np.float32)
    caffe.set_random_seed(1)
    right = caffe.Net(net_file, caffe.TEST)
    right.params["conv"][0].data[...] *= 2
    monkeypatch.setattr(host_arrays, "_shares_memory", lambda tensor: False)
    caffe.set_random_seed(1)
    net = caffe.Net(net_file, caffe.TEST)
    net.params["conv"][0].data.reshape(-1)[:] *= 2
    net.blobs["x"].data[...] = x
    held = net.blobs["ip"].data
    net.forward()
    assert held.any()
    assert np.array_equal(held, right.forward(x=x)["ip"])
    net.blobs["x"].data[...] *= 3
    assert not np.array_equal(net.forward()["ip"], held * 0)
    assert np.array_equal(net.blobs["ip"].data, right.forward(x=x * 3)["ip"])
    assert np.array_equal(held, right.blobs["ip"].data)
