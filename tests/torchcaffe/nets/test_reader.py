"""Nets are read with the line of each layer in its prototxt."""

from pathlib import Path

import pytest

import torchcaffe as caffe
from caffeformat import FormatError
from caffeformat.caffeformat_pb2 import NetParameter
from torchcaffe.nets.reader import from_message, layer_lines

INPUT = 'layer { name: "x" type: "Input" top: "x" input_param { shape { dim: 4 dim: 3 } } }\n'


def test_layers_in_a_list_are_built_and_named_by_their_file(tmp_path: Path) -> None:
    path = tmp_path / "net.prototxt"
    path.write_text(INPUT + 'layer: [ { name: "r" type: "ReLU" bottom: "x" top: "r" }, { name: "l" type: "Foo" } ]')
    with pytest.raises(FormatError, match=r"net.prototxt: layer 'l': Unknown layer type: Foo"):
        caffe.Net(path, caffe.TEST)


TEXT = """# layer { in a comment }
name: "layer {"  # and one in a string
layer { name: "one" type: "ReLU"
  relu_param { negative_slope: 0.1 } }
layers
< name: 'two' >

layer: { type: "layer { }" }
state { stage: "layer" }
"""


def test_the_line_of_each_layer_is_where_its_name_begins() -> None:
    assert layer_lines(TEXT) == [3, 5, 8]


def test_a_net_in_a_message_is_copied_and_its_layers_are_counted() -> None:
    param = NetParameter(layer=[{"name": "x", "type": "Input", "top": ["x"]}, {"name": "y", "type": "Silence"}])
    parsed = from_message(param, "net_param")
    assert parsed.places == ["net_param, layer 0", "net_param, layer 1"]
    assert parsed.param == param
    assert parsed.param is not param
