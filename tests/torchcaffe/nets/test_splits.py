"""Tops that several layers read, and losses that are read as well, against real Caffe."""

from pathlib import Path

import torchcaffe as caffe
from tests.helpers.both_engines import Both, Figures, net_of
from tests.helpers.real_caffe import RealCaffe

IP = 'type: "InnerProduct" inner_product_param { num_output: 3 weight_filler { type: "xavier" } }'


def test_any_top_can_be_a_loss_and_be_read_as_well(real_caffe, tmp_path: Path, figures: Figures) -> None:
    layers = f"""
layer {{ name: "one" bottom: "x" top: "a" loss_weight: 0.25 {IP} }}
layer {{ name: "two" bottom: "a" top: "b" loss_weight: 2 {IP} }}
"""
    Both(real_caffe, net_of(layers, x=(4, 3)), tmp_path).agree(figures, "loss_weight")


SPLIT = """
layer { name: "one" type: "ReLU" bottom: "x" top: "a" loss_weight: 2 }
layer { name: "two" type: "ReLU" bottom: "a" top: "b" }
layer { name: "three" type: "ReLU" bottom: "b" top: "b" }
layer { name: "four" type: "Eltwise" bottom: "b" bottom: "x" top: "c" }
layer { name: "five" type: "ReLU" bottom: "b" top: "d" }
"""


def test_split_layers_are_inserted_and_named_as_in_caffe(real_caffe: RealCaffe, tmp_path: Path) -> None:
    """An input that is read twice, a loss that is read, and a blob that is read twice behind a layer in place."""
    path = tmp_path / "net.prototxt"
    path.write_text(net_of(SPLIT, x=(2, 3)))
    program = """
net = caffe.Net(given["path"], 1)
out["blobs"], out["layers"] = np.array(list(net.blobs)), np.array(list(net._layer_names))
"""
    right = real_caffe.run(program, path=str(path))
    net = caffe.Net(path, caffe.TEST)
    assert list(net.blobs) == right["blobs"].tolist()
    assert [layer.name for layer in net.layers] == right["layers"].tolist()
    assert {"x_x_0_split", "a_one_0_split", "b_three_0_split"} <= set(right["layers"].tolist())
