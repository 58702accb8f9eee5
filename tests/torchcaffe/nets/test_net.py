"""How a net is built, against real Caffe: which layers run backward and learn, and which nets are refused."""

from pathlib import Path

import numpy as np
import pytest

import torchcaffe as caffe
from caffeformat import FormatError
from tests.helpers.both_engines import Both, Figures, net_of
from tests.helpers.net_of_each_layer import BODIES, HEAD, SCORES, SOFTMAX
from tests.helpers.real_caffe import CaffeAborted

IP = 'type: "InnerProduct" inner_product_param { num_output: 3 weight_filler { type: "xavier" } }'
INPUT = 'layer { name: "x" type: "Input" top: "x" input_param { shape { dim: 4 dim: 3 } } }\n'


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


REFUSALS = {
    "an unknown type": ('layer { name: "l"\n type: "Foo" bottom: "x" top: "y" }', ":3: .*Unknown layer type: Foo"),
    "an unknown field": ('layer { name: "l" type: "ReLU"\n bottm: "x" }', ":4: .*bottm.*did you mean bottom"),
    "an unknown bottom": ('layer { name: "l" type: "ReLU" bottom: "z" top: "y" }', ":3: Unknown bottom blob 'z'"),
    "a top made twice": ('layer { name: "l" type: "ReLU" bottom: "x" top: "y" }\n\nlayer { name: "m" type: "Input" '
                         'top: "y" }', ":5: Top blob 'y' produced by multiple sources"),
    "a bottom too many": ('layer { name: "l" type: "ReLU" bottom: "x" bottom: "x" top: "y" }', ":3: .*2 bottom blobs"),
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
    if request.node.callspec.id != "a net of two ages":
        with pytest.raises(CaffeAborted):
            real_caffe.run('caffe.Net(given["path"], 1)', path=str(path))


def test_a_label_that_is_no_class_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "net.prototxt"
    loss = 'layer { name: "loss" type: "SoftmaxWithLoss" bottom: "x" bottom: "label" top: "loss" }'
    path.write_text(net_of(loss, x=(2, 3), label=(2,)))
    net = caffe.Net(path, caffe.TEST)
    for label in ([0, 3], [-1, 0]):
        with pytest.raises(FormatError, match=r"layer 'loss'.*a label is (3|-1), but there are 3 classes"):
            net.forward(x=np.zeros((2, 3)), label=np.array(label))


RESHAPED = """
net = caffe.Net(given["path"], 0)
for rows in given["batches"]:
    net.blobs["x"].reshape(rows, 3)
    net.reshape()
    net.blobs["x"].data[...] = 1
    net.forward()
    net.backward()
    out[str(rows)] = net.blobs["x"].diff.copy()
"""


def test_a_top_with_a_loss_weight_keeps_it_in_a_smaller_batch(real_caffe, tmp_path: Path) -> None:
    """And in a larger one, where Caffe's new memory has zeros and nothing learns any more."""
    path, batches = tmp_path / "net.prototxt", [4, 2, 3]
    squares = "loss_weight: 0.5 reduction_param { axis: 1 operation: SUMSQ }"
    path.write_text(net_of(f'layer {{ name: "it" type: "Reduction" bottom: "x" top: "y" {squares} }}', x=(4, 3)))
    caffes, ours = real_caffe.run(RESHAPED, path=str(path), batches=batches), {}
    exec(RESHAPED, {"caffe": caffe, "given": {"path": path, "batches": [*batches, 6]}, "out": ours})
    assert [found.tolist() for found in ours.values()] == [[[1] * 3] * rows for rows in (4, 2, 3, 6)]
    assert [right.tolist() for right in caffes.values()] == [[[1] * 3] * rows for rows in batches]


@pytest.mark.parametrize(
    "text", ["", INPUT.replace("type", "include { phase: TRAIN } type")], ids=["empty", "left out"]
)
def test_a_net_without_layers_is_refused_when_it_is_to_compute(real_caffe, tmp_path, text: str) -> None:
    """As in Caffe, which builds it."""
    path = tmp_path / "net.prototxt"
    path.write_text(text)
    with pytest.raises(CaffeAborted, match=r"end < layers_.size\(\)"):
        real_caffe.run('caffe.Net(given["path"], caffe.TEST).forward()', path=str(path))
    with pytest.raises(FormatError, match="net '' has no layers in phase TEST: its file is empty, or rules leave all"):
        caffe.Net(path, caffe.TEST).forward()


def test_a_backward_pass_without_a_forward_pass_says_so(tmp_path) -> None:
    path = tmp_path / "net.prototxt"
    path.write_text(HEAD + BODIES["Convolution"] + SCORES + SOFTMAX)
    net = caffe.Net(path, caffe.TRAIN)
    with pytest.raises(FormatError, match=r"layer 'loss'.*needs what a forward pass keeps; run one before"):
        net.backward()
