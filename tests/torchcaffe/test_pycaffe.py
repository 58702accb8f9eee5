"""The part of pycaffe that scripts use, against real pycaffe."""

from pathlib import Path

import numpy as np
import pytest

import torchcaffe as caffe
from tests.helpers.both_engines import net_of
from tests.helpers.real_caffe import RealCaffe

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


def test_both_forms_of_net_and_all_keywords_of_pycaffe_are_taken(tmp_path: Path) -> None:
    path, weights = tmp_path / "net.prototxt", tmp_path / "it.caffemodel"
    path.write_text(net_of(CHAIN, x=(4, 3)))
    first = caffe.Net(str(path), caffe.TEST)
    first.save(weights)
    for net in (
        caffe.Net(path, weights, caffe.TEST),
        caffe.Net(path, caffe.TEST, weights=str(weights), level=1, stages=["a"]),
        caffe.Net(network_file=path, phase=caffe.TEST, weights=weights),
    ):
        assert np.array_equal(net.params["one"][0].data, first.params["one"][0].data)
        assert net.core.phase == caffe.TEST


@pytest.mark.parametrize("arguments", [(), ("a.caffemodel",), ("a.caffemodel", 0, 1)])
def test_a_net_without_a_phase_or_with_too_much_is_a_type_error(tmp_path: Path, arguments: tuple) -> None:
    with pytest.raises(TypeError, match=r"Net\(\) (needs a phase|takes at most 3)"):
        caffe.Net(tmp_path / "net.prototxt", *arguments)


def test_the_names_of_the_package_are_those_of_pycaffe(real_caffe: RealCaffe) -> None:
    ours_alone = {"set_precision"}
    right = real_caffe.run('out["names"] = np.array(dir(caffe))')["names"].tolist()
    assert set(caffe.__all__) - ours_alone <= set(right)
    for name in caffe.__all__:
        assert getattr(caffe, name) is not None
    with pytest.raises(AttributeError, match="module 'torchcaffe' has no attribute 'Classifier'"):
        caffe.Classifier  # noqa: B018


def test_the_layer_types_are_sorted_and_all_of_caffes_names(real_caffe: RealCaffe) -> None:
    right = real_caffe.run('out["types"] = np.array(list(caffe.layer_type_list()))')["types"].tolist()
    assert caffe.layer_type_list() == sorted(caffe.layer_type_list())
    assert set(caffe.layer_type_list()) <= set(right)
