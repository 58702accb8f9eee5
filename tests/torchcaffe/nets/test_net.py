"""How a net is put together, against real Caffe: rules, splits, shared parameters, losses, old prototxts, refusals."""

from pathlib import Path

import numpy as np
import pytest

import torchcaffe as caffe
from caffeformat import FormatError
from tests.helpers.both_engines import Both, Figures, net_of
from tests.helpers.real_caffe import CaffeAborted, RealCaffe

IP = 'type: "InnerProduct" inner_product_param { num_output: 3 weight_filler { type: "xavier" } }'
INPUT = 'layer { name: "x" type: "Input" top: "x" input_param { shape { dim: 4 dim: 3 } } }\n'

RULES = INPUT + "\n".join(
    f'layer {{ name: "{name}" bottom: "x" top: "{name}" {rule} {IP} }}'
    for name, rule in {
        "always": "",
        "train": "include { phase: TRAIN }",
        "not train": "exclude { phase: TRAIN }",
        "level 1 on": "include { min_level: 1 }",
        "up to level 1": "include { max_level: 1 }",
        "stage a": 'include { stage: "a" }',
        "stages a and b": 'include { stage: "a" stage: "b" }',
        "not stage a": 'include { not_stage: "a" }',
        "not both": 'exclude { stage: "a" phase: TEST }',
        "either": 'include { stage: "b" } include { phase: TRAIN min_level: 2 }',
    }.items()
)


@pytest.mark.parametrize("phase", [caffe.TRAIN, caffe.TEST])
@pytest.mark.parametrize(("level", "stages"), [(0, []), (1, ["a"]), (2, ["a", "b"]), (-1, ["b"])])
def test_rules_choose_the_layers_that_caffe_chooses(real_caffe, tmp_path, phase, level, stages) -> None:
    path = tmp_path / "net.prototxt"
    path.write_text(RULES)
    program = """
net = caffe.Net(given["path"], given["phase"], level=given["level"], stages=given["stages"])
out["blobs"], out["layers"] = np.array(list(net.blobs)), np.array(list(net._layer_names))
"""
    right = real_caffe.run(program, path=str(path), phase=phase, level=level, stages=stages)
    net = caffe.Net(path, phase, level=level, stages=stages)
    assert list(net.blobs) == right["blobs"].tolist()
    assert net._layer_names == right["layers"].tolist()


def shared(spec: str, second: str = "", transpose: str = "") -> str:
    return f"""
layer {{ name: "one" bottom: "x" top: "a" param {{ name: "w" lr_mult: 2 }} param {{ name: "b" }} {IP} }}
layer {{ name: "two" bottom: "a" top: "c" param {{ name: "w" {spec} }} {second} type: "InnerProduct"
  inner_product_param {{ num_output: 3 weight_filler {{ type: "xavier" }} {transpose} }} }}
layer {{ name: "loss" type: "EuclideanLoss" bottom: "c" bottom: "x" top: "loss" }}
"""


@pytest.mark.parametrize("second", ['param { name: "b" }', ""], ids=["weights and bias", "weights alone"])
def test_shared_parameters_sum_their_gradients(real_caffe, tmp_path, figures: Figures, second: str) -> None:
    Both(real_caffe, net_of(shared("", second), x=(5, 3)), tmp_path).agree(figures, "shared parameters")


def test_a_permissive_share_keeps_its_own_shape(real_caffe, tmp_path: Path, figures: Figures) -> None:
    layers = """
layer { name: "one" type: "InnerProduct" bottom: "x" top: "a" param { name: "w" }
  inner_product_param { num_output: 2 weight_filler { type: "xavier" } bias_term: false } }
layer { name: "two" type: "InnerProduct" bottom: "a" top: "b" param { name: "w" share_mode: PERMISSIVE }
  inner_product_param { num_output: 6 weight_filler { type: "xavier" } bias_term: false } }
"""
    Both(real_caffe, net_of(layers, x=(5, 6)), tmp_path).agree(figures, "shared parameters")


def test_any_top_can_be_a_loss_and_be_read_as_well(real_caffe, tmp_path: Path, figures: Figures) -> None:
    layers = f"""
layer {{ name: "one" bottom: "x" top: "a" loss_weight: 0.25 {IP} }}
layer {{ name: "two" bottom: "a" top: "b" loss_weight: 2 {IP} }}
"""
    Both(real_caffe, net_of(layers, x=(4, 3)), tmp_path).agree(figures, "loss_weight")


def test_backward_goes_only_where_something_learns_or_is_asked_for(real_caffe, tmp_path, figures: Figures) -> None:
    """Without force_backward: an in-place chain, a branch cut by propagate_down, a frozen layer, an unused branch."""
    layers = f"""
layer {{ name: "frozen" bottom: "x" top: "f" param {{ lr_mult: 0 }} param {{ lr_mult: 0 }} {IP} }}
layer {{ name: "relu" type: "ReLU" bottom: "f" top: "f" }}
layer {{ name: "learns" bottom: "f" top: "a" {IP} }}
layer {{ name: "cut" bottom: "a" top: "b" propagate_down: false {IP} }}
layer {{ name: "through" bottom: "a" top: "c" {IP} }}
layer {{ name: "unused" bottom: "a" top: "u" {IP} }}
layer {{ name: "loss" type: "EuclideanLoss" bottom: "b" bottom: "c" top: "loss" }}
"""
    text = net_of(layers, x=(4, 3)).replace("force_backward: true", "")
    Both(real_caffe, text, tmp_path).agree(figures, "backward where needed")


@pytest.mark.parametrize("mults", [(0, 1), (1, 0)], ids=["the bias alone learns", "the weights alone learn"])
@pytest.mark.parametrize("kind", ["InnerProduct", "Convolution"])
def test_of_weights_and_bias_one_alone_may_learn(real_caffe, tmp_path, figures: Figures, kind: str, mults) -> None:
    params = " ".join(f"param {{ lr_mult: {mult} }}" for mult in mults)
    settings = {
        "InnerProduct": "inner_product_param { num_output: 3",
        "Convolution": "convolution_param { num_output: 3",
    }
    kernel = "kernel_size: 2" if kind == "Convolution" else ""
    layers = f"""
layer {{ name: "one" type: "{kind}" bottom: "x" top: "y" {params} {settings[kind]} {kernel} }} }}
layer {{ name: "loss" type: "EuclideanLoss" bottom: "y" bottom: "z" top: "loss" }}
"""
    z = (4, 3) if kind == "InnerProduct" else (4, 3, 3, 4)
    text = net_of(layers, x=(4, 2, 4, 5), z=z).replace("force_backward: true", "")
    both = Both(real_caffe, text, tmp_path)
    both.agree(figures, "backward where needed")
    assert [bool(both.found[f"param diff one {i}"].any()) for i in (0, 1)] == [bool(mult) for mult in mults]


def test_a_seed_set_later_holds_for_nets_that_are_there(real_caffe: RealCaffe, tmp_path: Path) -> None:
    path = tmp_path / "net.prototxt"
    path.write_text(net_of('layer { name: "drop" type: "Dropout" bottom: "x" top: "y" }', x=(4, 50)))
    program = """
net = caffe.Net(given["path"], 0)
caffe.set_random_seed(11)
net.blobs["x"].data[...] = 1
out["y"] = net.forward()["y"]
"""
    right = real_caffe.run(program, path=str(path))
    net = caffe.Net(path, caffe.TRAIN)
    caffe.set_random_seed(11)
    assert np.array_equal(net.forward(x=np.ones((4, 50)))["y"], right["y"])


V1 = """
input: "x" input_dim: 2 input_dim: 3 input_dim: 9 input_dim: 9 input: "label" input_dim: 2 input_dim: 1 input_dim: 1
input_dim: 1 force_backward: true
layers { name: "conv" type: CONVOLUTION bottom: "x" top: "conv" blobs_lr: 1 blobs_lr: 2 weight_decay: 1 weight_decay: 0
  convolution_param { num_output: 4 kernel_size: 3 weight_filler { type: "xavier" } } }
layers { name: "relu" type: RELU bottom: "conv" top: "conv" }
layers { name: "norm" type: LRN bottom: "conv" top: "norm" lrn_param { local_size: 3 alpha: 1 } }
layers { name: "pool" type: POOLING bottom: "norm" top: "pool" pooling_param { kernel_size: 2 stride: 2 } }
layers { name: "ip" type: INNER_PRODUCT bottom: "pool" top: "ip" inner_product_param { num_output: 3
  weight_filler { type: "xavier" } } param: "shared" blob_share_mode: PERMISSIVE }
layers { name: "loss" type: SOFTMAX_LOSS bottom: "ip" bottom: "label" top: "loss" loss_weight: 2 }
"""


def test_a_net_of_2014_means_what_it_means_to_caffe(real_caffe, tmp_path: Path, figures: Figures) -> None:
    text = V1.replace('bottom: "ip" bottom: "label"', 'bottom: "ip" bottom: "label"')
    text = text.replace("force_backward: true", "")  # a label takes no gradient
    Both(real_caffe, text, tmp_path, label=np.array([0, 2]).reshape(2, 1, 1, 1)).agree(figures, "V1 prototxt")
    net = caffe.Net(tmp_path / "net.prototxt", caffe.TEST)
    assert [(p.lr_mult, p.decay_mult) for p in net.core.params.learnable[:2]] == [(1, 1), (2, 0)]


REFUSALS = {
    "an unknown type": ('layer { name: "l"\n type: "Foo" bottom: "x" top: "y" }', ":3: .*Unknown layer type: Foo"),
    "a type not there yet": ('layer { name: "l" type: "SPP" bottom: "x" top: "y" }', ":3: .*Unknown layer type: SPP"),
    "an unknown field": ('layer { name: "l" type: "ReLU"\n bottm: "x" }', ":4: .*bottm.*did you mean bottom"),
    "an unknown bottom": ('layer { name: "l" type: "ReLU" bottom: "z" top: "y" }', ":3: Unknown bottom blob 'z'"),
    "a top made twice": ('layer { name: "l" type: "ReLU" bottom: "x" top: "y" }\n\nlayer { name: "m" type: "Input" '
                         'top: "y" }', ":5: Top blob 'y' produced by multiple sources"),
    "a bottom too many": ('layer { name: "l" type: "ReLU" bottom: "x" bottom: "x" top: "y" }', ":3: .*2 bottom blobs"),
    "stochastic pooling": ('layer { name: "l" type: "Pooling" bottom: "x" top: "y" pooling_param { kernel_size: 2 '
                           "pool: STOCHASTIC } }", ":3: .*STOCHASTIC is not supported .BVLC Caffe has it on a GPU"),
    "no kernel": ('layer { name: "l" type: "Convolution" bottom: "x" top: "y" convolution_param { num_output: 2 } }',
                  ":3: .*kernel_size"),
    "too large a kernel": ('layer { name: "l" type: "Convolution" bottom: "x" top: "y" convolution_param '
                           "{ num_output: 2 kernel_size: 9 } }", ":3: .*the kernel is larger"),
    "groups that do not divide": ('layer { name: "l" type: "Convolution" bottom: "x" top: "y" convolution_param '
                                  "{ num_output: 4 kernel_size: 1 group: 2 } }", ":3: .*group 2 must divide"),
    "an unknown filler": ('layer { name: "l" type: "InnerProduct" bottom: "x" top: "y" inner_product_param '
                          '{ num_output: 2 weight_filler { type: "foo" } } }', "foo"),
    "an even LRN": ('layer { name: "l" type: "LRN" bottom: "x" top: "y" lrn_param { local_size: 4 } }', ":3: .*odd"),
    "too many params": ('layer { name: "l" type: "ReLU" bottom: "x" top: "y" param { lr_mult: 1 } }', ":3: Too many"),
    "labels of another number": ('layer { name: "l" type: "SoftmaxWithLoss" bottom: "x" bottom: "x" top: "y" }',
                                 ":3: .*Number of labels"),
    "both rules": ('layer { name: "l" type: "ReLU" bottom: "x" top: "y" include { } exclude { } }', ":3: .*not both"),
    "a net of two ages": ('layers { layer { name: "l" type: "relu" } }', "has both"),
}  # fmt: skip


@pytest.mark.parametrize(("layers", "message"), REFUSALS.values(), ids=REFUSALS.keys())
def test_what_cannot_be_built_is_refused_with_its_line(real_caffe, tmp_path, layers, message, request) -> None:
    path = tmp_path / "net.prototxt"
    path.write_text(
        '# layer { in a comment }\nlayer { name: "x" type: "Input" top: "x" input_param { shape { dim: 2 dim: 3 dim: 5 '
        "dim: 5 } } }\n" + layers
    )
    with pytest.raises(FormatError, match=f"(?s){'net.prototxt' if message[0] == ':' else ''}{message}"):
        caffe.Net(path, caffe.TEST)
    if request.node.callspec.id not in ("a type not there yet", "stochastic pooling", "a net of two ages"):
        with pytest.raises(CaffeAborted):
            real_caffe.run('caffe.Net(given["path"], 1)', path=str(path))


def test_layers_in_a_list_are_built_and_named_by_their_file(tmp_path: Path) -> None:
    path = tmp_path / "net.prototxt"
    path.write_text(INPUT + 'layer: [ { name: "r" type: "ReLU" bottom: "x" top: "r" }, { name: "l" type: "Foo" } ]')
    with pytest.raises(FormatError, match=r"net.prototxt: layer 'l': Unknown layer type: Foo"):
        caffe.Net(path, caffe.TEST)


def test_a_label_that_is_no_class_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "net.prototxt"
    loss = 'layer { name: "loss" type: "SoftmaxWithLoss" bottom: "x" bottom: "label" top: "loss" }'
    path.write_text(net_of(loss, x=(2, 3), label=(2,)))
    net = caffe.Net(path, caffe.TEST)
    for label in ([0, 3], [-1, 0]):
        with pytest.raises(FormatError, match=r"layer 'loss'.*a label is (3|-1), but there are 3 classes"):
            net.forward(label=np.array(label))


def test_weights_of_another_shape_are_refused_and_others_found_by_name(real_caffe: RealCaffe, tmp_path: Path) -> None:
    path, other = tmp_path / "net.prototxt", tmp_path / "other.prototxt"
    path.write_text(INPUT + f'layer {{ name: "ip" bottom: "x" top: "y" {IP} }}')
    other.write_text(path.read_text().replace("num_output: 3", "num_output: 4"))
    net = caffe.Net(path, caffe.TEST)
    net.save(tmp_path / "weights.caffemodel")
    program = 'net = caffe.Net(given["net"], given["weights"], 1); out["w"] = net.params["ip"][0].data'
    found = real_caffe.run(program, net=str(path), weights=str(tmp_path / "weights.caffemodel"))
    assert np.array_equal(found["w"], net.params["ip"][0].data)
    with pytest.raises(
        FormatError, match=r"layer 'ip'; shape mismatch.  Source param shape is 3 3 \(9\); target .* 4 3"
    ):
        caffe.Net(other, str(tmp_path / "weights.caffemodel"), caffe.TEST)


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
