"""The part of pycaffe that scripts use, against real pycaffe."""

from pathlib import Path

import numpy as np
import pytest

import torchcaffe as caffe
from caffeformat import FormatError
from tests.helpers.both_engines import net_of
from tests.helpers.real_caffe import RealCaffe
from torchcaffe.common import log

IP = 'type: "InnerProduct" inner_product_param { num_output: 3 weight_filler { type: "xavier" } }'


def test_a_net_takes_inputs_of_another_size(real_caffe: RealCaffe, tmp_path: Path) -> None:
    path = tmp_path / "net.prototxt"
    layers = (
        'layer { name: "pool" type: "Pooling" bottom: "x" top: "y" pooling_param { global_pooling: true pool: AVE } }'
    )
    path.write_text(net_of(layers, x=(2, 3, 4, 4)))
    net = caffe.Net(path, caffe.TEST)
    net.blobs["x"].reshape(1, 3, 6, 5)
    net.reshape()
    assert net.blobs["y"].shape == (1, 3, 1, 1)
    found = net.forward(x=np.arange(90).reshape(1, 3, 6, 5))["y"]
    assert found.ravel().tolist() == [14.5, 44.5, 74.5]


def test_forward_all_takes_any_number_of_images(real_caffe: RealCaffe, tmp_path: Path) -> None:
    path = tmp_path / "net.prototxt"
    path.write_text(net_of(f'layer {{ name: "ip" bottom: "x" top: "y" {IP} }}', x=(4, 3)))
    x = np.random.default_rng(2).standard_normal((10, 3)).astype(np.float32)
    program = """
caffe.set_random_seed(3)
out.update(caffe.Net(given["path"], 1).forward_all(["x"], x=given["x"]))
"""
    right = real_caffe.run(program, path=str(path), x=x)
    caffe.set_random_seed(3)
    found = caffe.Net(path, caffe.TEST).forward_all(["x"], x=x)
    assert found.keys() == right.keys() == {"x", "y"}
    for name in right:
        assert found[name].shape == right[name].shape == (10, 3)
        np.testing.assert_allclose(found[name], right[name], rtol=1e-5)


def test_forward_all_of_no_images_is_empty_and_without_inputs_an_error(real_caffe: RealCaffe, tmp_path: Path) -> None:
    path = tmp_path / "net.prototxt"
    path.write_text(net_of(f'layer {{ name: "ip" bottom: "x" top: "y" {IP} }}', x=(4, 3)))
    program = 'out.update(caffe.Net(given["path"], 1).forward_all(["x"], x=np.zeros((0, 3))))'
    right = real_caffe.run(program, path=str(path))
    net = caffe.Net(path, caffe.TEST)
    found = net.forward_all(["x"], x=np.zeros((0, 3)))
    assert {name: array.shape for name, array in found.items()} == {name: right[name].shape for name in right}
    for call in (net.forward_all, net.forward_backward_all):
        with pytest.raises(ValueError, match=r"the inputs are missing: net\.forward_all\(data=images\)"):
            call()


CHAIN = f"""
layer {{ name: "one" bottom: "x" top: "a" {IP} }}
layer {{ name: "two" bottom: "a" top: "b" {IP} }}
layer {{ name: "three" bottom: "b" top: "c" {IP} }}
"""
PARTS = """
caffe.set_random_seed(3)
net = caffe.Net(given["path"], 1)
for name, value in net.forward(["a"], x=given["x"]).items():
    out["all " + name] = value.copy()
net.blobs["a"].data[...] = 1
for name, value in net.forward(start="two", end="two").items():
    out["part " + name] = value.copy()
for name, value in net.backward(["b"], c=given["diff"]).items():
    out["back " + name] = value.copy()
for name, value in net.backward(start="three", end="two", c=given["diff"]).items():
    out["part back " + name] = value.copy()
"""


def test_parts_of_a_net_are_run_and_given_as_by_pycaffe(real_caffe: RealCaffe, tmp_path: Path) -> None:
    path = tmp_path / "net.prototxt"
    path.write_text(net_of(CHAIN, x=(4, 3)))
    random = np.random.default_rng(2)
    given = {name: random.standard_normal((4, 3)).astype(np.float32) for name in ("x", "diff")}
    right = real_caffe.run(PARTS, path=str(path), **given)
    found: dict[str, np.ndarray] = {}
    exec(PARTS, {"caffe": caffe, "given": {"path": path, **given}, "out": found})
    assert found.keys() == right.keys()
    assert {"all a", "all c", "part b", "back b", "back x", "part back a"} <= right.keys()
    for name in right:
        np.testing.assert_allclose(found[name], right[name], rtol=1e-5, atol=1e-6)


FACTS = """
net = caffe.Net(given["path"], 1)
for name in ("top_names", "bottom_names", "layer_dict"):
    value = getattr(net, name)
    out[name] = np.array([str(key) for key in value])
for name, names in net.top_names.items():
    out["tops " + name] = np.array(names)
    out["bottoms " + name] = np.array(net.bottom_names[name])
for name, layer in net.layer_dict.items():
    out["type " + name] = np.array([layer.type, str(len(layer.blobs))])
for name, blob in net.blobs.items():
    out["shape " + name] = np.array(list(blob.shape))
    out["sizes " + name] = np.array([blob.num, blob.channels, blob.height, blob.width, blob.count])
out["inputs"], out["outputs"] = np.array(net.inputs), np.array(net.outputs)
out["ids"] = np.array(list(net._inputs) + [-1] + list(net._outputs))
out["names"] = np.array(list(net._blob_names) + list(net._layer_names))
out["bottom ids"] = np.array(list(net._bottom_ids(2)) + [-1] + list(net._top_ids(2)))
out["weights"] = np.array(list(net.blob_loss_weights.values()) + list(net._blob_loss_weights))
out["loss"] = np.array(net._forward(0, len(net.layers) - 1))
net._backward(len(net.layers) - 1, 0)
"""


def exec_both(real_caffe: RealCaffe, program: str, **given: object) -> tuple[dict, dict]:
    """What `program` puts into `out` in pycaffe and here."""
    right = real_caffe.run(program, **given)
    found: dict[str, np.ndarray] = {}
    exec(program, {"caffe": caffe, "np": np, "given": given, "out": found})
    assert found.keys() == right.keys()
    return right, found


def test_what_a_net_tells_of_itself_is_what_pycaffe_tells(real_caffe: RealCaffe, tmp_path: Path) -> None:
    path = tmp_path / "net.prototxt"
    path.write_text(net_of(CHAIN + 'layer { name: "loss" type: "EuclideanLoss" bottom: "c" bottom: "x" }', x=(4, 3)))
    right, found = exec_both(real_caffe, FACTS, path=str(path))
    for name in right:
        assert found[name].tolist() == right[name].tolist(), name


BATCHES = """
caffe.set_random_seed(3)
net = caffe.Net(given["path"], 1)
values, diffs = net.forward_backward_all(["a"], ["b"], x=given["x"], c=given["d"])
for name in values:
    out[name] = values[name]
for name in diffs:
    out["d " + name] = diffs[name]
order = []
net.before_forward(lambda layer: order.append(layer))
net.after_forward(lambda layer: order.append(100 + layer))
net.before_backward(lambda layer: order.append(200 + layer))
net.after_backward(lambda layer: order.append(300 + layer))
def double(layer):
    if layer == 1:
        net.blobs["a"].data[...] *= 2
net.after_forward(double)
out["doubled"] = net.forward(x=given["x"][:4])["c"].copy()
net.backward(c=given["d"][:4])
out["order"] = np.array(order)
"""


def test_passes_in_batches_and_with_calls_around_layers_are_pycaffes(real_caffe: RealCaffe, tmp_path: Path) -> None:
    path = tmp_path / "net.prototxt"
    path.write_text(net_of(CHAIN, x=(4, 3)))
    random = np.random.default_rng(2)
    given = {name: random.standard_normal((10, 3)).astype(np.float32) for name in ("x", "d")}
    right, found = exec_both(real_caffe, BATCHES, path=str(path), **given)
    assert right["c"].shape == (10, 3)
    for name in right:
        np.testing.assert_allclose(found[name], right[name], rtol=1e-5, atol=1e-6, err_msg=name)


RESHAPED = """
caffe.set_random_seed(3)
net = caffe.Net(given["path"], 1)
net.blobs["x"].data[...] = given["x"]
net.blobs["x"].reshape(2, 3, 1)
out["kept"] = net.blobs["x"].data.copy()
out["y"] = net.forward()["y"].copy()  # without net.reshape()
out["shape"] = np.array(list(net.blobs["r"].shape))
"""


def test_a_forward_pass_takes_the_present_shape_of_the_inputs(real_caffe: RealCaffe, tmp_path: Path) -> None:
    path = tmp_path / "net.prototxt"
    layers = 'layer { name: "r" type: "Reshape" bottom: "x" top: "r" reshape_param { shape { dim: -1 dim: 3 } } }'
    path.write_text(net_of(layers + f'layer {{ name: "ip" bottom: "r" top: "y" {IP} }}', x=(4, 3)))
    x = np.arange(12, dtype=np.float32).reshape(4, 3)
    right, found = exec_both(real_caffe, RESHAPED, path=str(path), x=x)
    for name in right:
        np.testing.assert_allclose(found[name], right[name], rtol=1e-5, err_msg=name)


WRONG_INPUTS = {
    "as many values": ({"x": np.zeros((3, 4))}, r"not batch sized: 'x' is \(3, 4\), the blob \(4, 3\)"),
    "turned": ({"x": np.zeros((4, 4))}, r"Input 'x': could not broadcast input array from shape \(4,4\)"),
    "unknown": ({"y": np.zeros((4, 3))}, r"do not match net inputs: given are y; the net has x"),
    "too many": ({"x": np.zeros((4, 3)), "a": np.zeros((4, 3))}, r"do not match net inputs: given are a, x"),
    "a number": ({"x": 1.0}, r"not batch sized: 'x' is \(\), the blob"),
}


@pytest.mark.parametrize(("inputs", "message"), WRONG_INPUTS.values(), ids=WRONG_INPUTS)
def test_an_input_that_pycaffe_refuses_is_refused(tmp_path: Path, inputs: dict, message: str) -> None:
    path = tmp_path / "net.prototxt"
    path.write_text(net_of(CHAIN, x=(4, 3)))
    net = caffe.Net(path, caffe.TEST)
    with pytest.raises(ValueError, match=message):
        net.forward(**inputs)
    diffs = {{"x": "c"}.get(name, name): value for name, value in inputs.items()}
    with pytest.raises(ValueError, match="Top diff"):
        net.backward(**diffs)
    with pytest.raises(ValueError, match="the net has no layer 'four'; its layers: x, one, two, three"):
        net.forward(start="four")
    with pytest.raises(KeyError, match="the net has no blob 'z'"):
        net.forward(["z"])


def test_all_forms_of_net_and_all_keywords_of_pycaffe_are_taken(tmp_path: Path) -> None:
    path, weights = tmp_path / "net.prototxt", tmp_path / "it.caffemodel"
    path.write_text(net_of(CHAIN, x=(4, 3)))
    first = caffe.Net(str(path), caffe.TEST)
    first.save(weights)
    for net in (
        caffe.Net(path, weights, caffe.TEST),
        caffe.Net(path, caffe.TEST, 1, ["a"], weights),
        caffe.Net(path, caffe.TEST, weights=str(weights), level=1, stages=["a"]),
        caffe.Net(network_file=path, phase=caffe.TEST, weights=weights),
    ):
        assert np.array_equal(net.params["one"][0].data, first.params["one"][0].data)
        assert net.core.phase == caffe.TEST


@pytest.mark.parametrize("arguments", [(), ("a.caffemodel",), ("a.caffemodel", 0, 1), (0, 0, None, None, 1)])
def test_a_net_without_a_phase_or_with_too_much_is_a_type_error(tmp_path: Path, arguments: tuple) -> None:
    with pytest.raises(TypeError, match=r"Net\(\) (needs a phase|takes at most [35])"):
        caffe.Net(tmp_path / "net.prototxt", *arguments)


def test_a_file_that_is_not_there_is_pycaffes_runtime_error(tmp_path: Path) -> None:
    path = tmp_path / "net.prototxt"
    with pytest.raises(RuntimeError, match=r"Could not open file .*net\.prototxt: No such file"):
        caffe.Net(path, caffe.TEST)
    path.write_text(net_of(CHAIN, x=(4, 3)))
    with pytest.raises(RuntimeError, match=r"Could not open file .*w\.caffemodel"):
        caffe.Net(path, caffe.TEST, weights=tmp_path / "w.caffemodel")


SAVED = """
caffe.set_random_seed(5)
net = caffe.Net(given["path"], 1)
net.load_hdf5(given["h5"])
out["loaded"] = net.params["two"][0].data.copy()
"""


def test_weights_saved_as_hdf5_are_read_by_pycaffe(real_caffe: RealCaffe, tmp_path: Path) -> None:
    path, saved = tmp_path / "net.prototxt", tmp_path / "w.h5"
    path.write_text(net_of(CHAIN, x=(4, 3)))
    net = caffe.Net(path, caffe.TEST)
    net.params["two"][0].data.reshape(-1)[2] = 8
    net.save_hdf5(str(saved))
    right, found = exec_both(real_caffe, SAVED, path=str(path), h5=str(saved))
    assert np.array_equal(right["loaded"], net.params["two"][0].data)
    assert np.array_equal(found["loaded"], right["loaded"])


def test_a_net_whose_layers_hdf5_cannot_hold_is_not_saved(tmp_path: Path) -> None:
    """As a group within another one a layer would be lost, or taken for a blob of the other layer."""
    path, saved = tmp_path / "net.prototxt", tmp_path / "w.h5"
    path.write_text(net_of(CHAIN.replace('name: "two"', 'name: "one/two"'), x=(4, 3)))
    with pytest.raises(FormatError, match=r"w.h5: HDF5 cannot hold the layer one/two: its name contains a /; use a"):
        caffe.Net(path, caffe.TEST).save_hdf5(str(saved))
    assert not saved.exists()


def test_the_log_of_a_script_is_on_from_its_first_net(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "net.prototxt"
    path.write_text(net_of(CHAIN, x=(4, 3)))
    caffe.Net(path, caffe.TEST)
    assert "net.cpp:257] Network initialization done." in capsys.readouterr().err
    for level, text in (("1", "DEPRECATION WARNING"), ("2", "")):
        monkeypatch.setattr(log.Logger, "enabled", False)
        monkeypatch.setenv("GLOG_minloglevel", level)
        caffe.Net(path, caffe.TEST).save(tmp_path / "w")
        caffe.Net(path, tmp_path / "w", caffe.TEST)
        shown = capsys.readouterr().err
        assert text in shown and bool(text) == bool(shown) and "net.cpp" not in shown


def test_the_names_of_the_package_are_those_of_pycaffe(real_caffe: RealCaffe) -> None:
    ours_alone = {"set_precision", "draw", "coord_map"}  # pycaffe has the last two once they are imported
    right = real_caffe.run('out["names"] = np.array(dir(caffe))')["names"].tolist()
    assert set(caffe.__all__) - ours_alone <= set(right)
    for name in caffe.__all__:
        assert getattr(caffe, name) is not None
    with pytest.raises(AttributeError, match="module 'torchcaffe' has no attribute 'NoSuch'"):
        caffe.NoSuch  # noqa: B018


def test_the_layer_types_are_sorted_and_all_of_caffes_names(real_caffe: RealCaffe) -> None:
    right = real_caffe.run('out["types"] = np.array(list(caffe.layer_type_list()))')["types"].tolist()
    assert caffe.layer_type_list() == sorted(caffe.layer_type_list())
    assert set(caffe.layer_type_list()) <= set(right)
