"""LSTM, RNN and LSTMUnit as ONNX: onnx_recurrent.py."""

from pathlib import Path

import pytest

from tests.helpers.both_engines import net_of
from tests.helpers.exported import RECURRENT, export, layer, recurrent

onnx = pytest.importorskip("onnx")


def test_they_compute_what_caffe_does_for_two_numbers_of_streams(tmp_path: Path, pycaffe: Path) -> None:
    said = export(tmp_path, "onnx", RECURRENT, pycaffe=pycaffe)
    assert "batches of any size; outputs" in said[0] and "34 blobs checked against BVLC Caffe 1.0.0" in said[1]


@pytest.mark.parametrize("type_", ["LSTM", "RNN"])
def test_a_hundred_timesteps_are_as_many_nodes_as_one(tmp_path: Path, type_: str) -> None:
    counts = []
    for steps in (1, 100):
        (tmp_path / str(steps)).mkdir()
        export(tmp_path / str(steps), "onnx", net_of(recurrent(type_, "y", "x cont"), x=(steps, 2, 3), cont=(steps, 2)))
        graph = onnx.load(tmp_path / str(steps) / "out").graph
        body = next(node for node in graph.node if node.op_type == "Scan").attribute[0].g
        counts.append((len(graph.node), len(body.node)))
    assert counts[0] == counts[1]


def test_the_timesteps_are_fixed_and_the_streams_are_the_batch(tmp_path: Path) -> None:
    export(tmp_path, "onnx", net_of(recurrent("RNN", "y", "x cont"), x=(4, 3, 2), cont=(4, 3)))
    sizes = {
        value.name: [size.dim_param or size.dim_value for size in value.type.tensor_type.shape.dim]
        for value in onnx.load(tmp_path / "out").graph.input
    }
    assert sizes == {"x": [4, "N", 2], "cont": [4, "N"], "y_h_0": [1, "N", 5]}


def test_another_number_of_timesteps_is_given_as_a_shape(tmp_path: Path, pycaffe: Path) -> None:
    """Captions are made word by word with the weights of a net of many timesteps."""
    text = net_of(recurrent("LSTM", "y", "x cont"), x=(4, 3, 2), cont=(4, 3))
    said = export(tmp_path, "onnx", text, pycaffe=pycaffe, shape="x:1,3,2;cont:1,3")
    assert "any size" in said[0] and "6 blobs checked against BVLC" in said[1]
    assert onnx.load(tmp_path / "out").graph.input[0].type.tensor_type.shape.dim[0].dim_value == 1


def test_a_net_that_is_unrolled_by_hand_has_any_number_of_streams_too(tmp_path: Path, pycaffe: Path) -> None:
    axis = "slice_param { axis: 0 }"
    text = net_of(
        layer("Slice", "x1 x2", "x", axis) + layer("Slice", "cont1 cont2", "cont", axis)
        + layer("LSTMUnit", "c1 h1", "c_0 x1 cont1") + layer("LSTMUnit", "c2 h2", "c1 x2 cont2")
        + layer("Concat", "h", "h1 h2", "concat_param { axis: 0 }"),
        x=(2, 3, 8), cont=(2, 3), c_0=(1, 3, 2),
    )  # fmt: skip
    said = export(tmp_path, "onnx", text, pycaffe=pycaffe)
    assert "batches of any size; outputs c2, h" in said[0] and "18 blobs checked against BVLC" in said[1]
