"""Layers that work value by value as ONNX and as PyTorch code: onnx_values.py and torch_values.py."""

from pathlib import Path

import pytest

from tests.helpers.both_engines import net_of
from tests.helpers.exported import VALUES, conv, export, layer


@pytest.mark.parametrize("to", ["onnx", "pytorch"])
def test_they_compute_what_torchcaffe_does_for_two_batch_sizes(tmp_path: Path, to: str) -> None:
    said = export(tmp_path, to, VALUES)
    assert "48 blobs checked against torchcaffe" in said[1]


@pytest.mark.parametrize("to", ["onnx", "pytorch"])
def test_clip_and_swish_which_caffe_has_since_1_0(tmp_path: Path, to: str) -> None:
    text = layer("Clip", "c", settings="clip_param { min: -1 max: 0.5 }") + layer("Swish", "s", "c")
    text += layer("Swish", "steep", settings="swish_param { beta: 2 }")
    assert "6 blobs checked" in export(tmp_path, to, net_of(text, x=(2, 3, 4, 4)))[1]


@pytest.mark.parametrize("to", ["onnx", "pytorch"])
def test_a_clip_whose_min_is_above_its_max_gives_its_min(tmp_path: Path, to: str) -> None:
    body = layer("Convolution", "conv", settings=conv("num_output: 2 kernel_size: 3"))
    body += layer("Clip", "c", "conv", "clip_param { min: 0.5 max: -0.5 }")
    said = export(tmp_path, to, net_of(body, x=(2, 3, 4, 4)))
    assert "4 blobs checked" in said[1] and (to == "onnx" or said[2].startswith("2 gradients: "))


@pytest.mark.slow
def test_they_compute_what_caffe_does(tmp_path: Path, pycaffe: Path) -> None:
    assert "48 blobs checked against BVLC Caffe 1.0.0" in export(tmp_path, "onnx", VALUES, pycaffe=pycaffe)[1]
