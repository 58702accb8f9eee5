"""Layers that move values as ONNX and as PyTorch code: onnx_shapes.py and torch_shapes.py."""

from pathlib import Path

import numpy as np
import pytest

from tests.helpers.both_engines import net_of
from tests.helpers.exported import SHAPES, export, layer
from torchcaffe.export import onnx_file


@pytest.mark.parametrize("to", ["onnx", "pytorch"])
def test_they_compute_what_torchcaffe_does_for_two_batch_sizes(tmp_path: Path, to: str) -> None:
    said = export(tmp_path, to, SHAPES)
    assert "46 blobs checked against torchcaffe" in said[1]


@pytest.mark.slow
def test_they_compute_what_caffe_does(tmp_path: Path, pycaffe: Path) -> None:
    assert "46 blobs checked against BVLC Caffe 1.0.0" in export(tmp_path, "onnx", SHAPES, pycaffe=pycaffe)[1]


def test_of_equal_values_argmax_takes_the_last_as_caffe_does(tmp_path: Path) -> None:
    import onnx

    export(tmp_path, "onnx", net_of(layer("ArgMax", "y", settings="argmax_param { top_k: 2 }"), x=(1, 4)))
    model = onnx.load(tmp_path / "out")
    assert onnx_file.run(model, {"x": np.array([[3, 5, 5, 1]], np.float32)})["y"].ravel().tolist() == [2, 1]


@pytest.mark.parametrize("to", ["onnx", "pytorch"])
def test_a_reduction_to_a_single_number_has_no_axes(tmp_path: Path, to: str) -> None:
    body = layer("Reduction", "y", settings="reduction_param { axis: 0 operation: ASUM coeff: 0.5 }")
    assert "2 blobs checked" in export(tmp_path, to, net_of(body, x=(2, 4)))[1]


def test_a_net_that_takes_no_single_image_has_its_gradients_checked_on_two(tmp_path: Path) -> None:
    body = layer("InnerProduct", "ip", settings="inner_product_param { num_output: 3 }")
    body += layer("ArgMax", "best", settings="argmax_param { axis: 0 top_k: 2 }")
    assert "2 gradients" in export(tmp_path, "pytorch", net_of(body, x=(2, 4)))[2]


@pytest.mark.parametrize("to", ["onnx", "pytorch"])
@pytest.mark.parametrize(
    "cut",
    [
        layer("Slice", "a b", "ip", "slice_param { axis: 0 slice_point: 1 }"),
        layer("Crop", "a", "ip y", "crop_param { axis: 0 }"),
        layer("InnerProduct", "a", "ip", "inner_product_param { num_output: 2 axis: 0 }"),
    ],
    ids=["Slice", "Crop", "InnerProduct"],
)
def test_a_layer_that_takes_a_batch_to_pieces_keeps_its_size(tmp_path: Path, to: str, cut: str) -> None:
    body = layer("InnerProduct", "ip", settings="inner_product_param { num_output: 3 }") + cut
    inputs = {"x": (4, 5)} | ({"y": (2, 3)} if "Crop" in cut else {})
    any_size = to == "pytorch" and "Crop" in cut  # code takes so many rows, whatever the batch
    assert ("batches of any size" if any_size else "only this batch size, ") in export(
        tmp_path, to, net_of(body, **inputs)
    )[0]
