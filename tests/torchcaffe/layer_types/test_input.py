"""Input: the shapes of blobs that the caller fills, against real Caffe."""

import pytest

import torchcaffe as caffe
from tests.helpers.refusals import refused

SHAPES = {
    "one for all tops": "shape { dim: 2 dim: 3 }",
    "one for each top": "shape { dim: 2 dim: 3 } shape { dim: 4 }",
    "no axes": "shape { }",
}
REAL = """
net = caffe.Net(given["path"], 1)
for name in ("a", "b"):
    out[name] = np.array(net.blobs[name].data.shape)
"""


def input_layer(shapes: str) -> str:
    return f'layer {{ name: "it" type: "Input" top: "a" top: "b" input_param {{ {shapes} }} }}'


@pytest.mark.parametrize("shapes", SHAPES.values(), ids=SHAPES.keys())
def test_the_shapes_are_caffes(real_caffe, tmp_path, shapes) -> None:
    path = tmp_path / "net.prototxt"
    path.write_text(input_layer(shapes))
    right = real_caffe.run(REAL, path=str(path))
    net = caffe.Net(path, caffe.TEST)
    assert [net.blobs[name].shape for name in "ab"] == [tuple(right[name].tolist()) for name in "ab"]


def test_a_shape_too_many_is_refused(real_caffe, tmp_path) -> None:
    text = input_layer("shape { dim: 1 } " * 3)
    refused(text, "Must specify 'shape' once, once per top blob, or not at all: 2 tops vs. 3", tmp_path, real_caffe)
