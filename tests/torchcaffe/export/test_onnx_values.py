"""Layers that work value by value as ONNX and as PyTorch code: onnx_values.py and torch_values.py."""

from pathlib import Path

import pytest

from tests.helpers.exported import VALUES, export


@pytest.mark.parametrize("to", ["onnx", "pytorch"])
def test_they_compute_what_torchcaffe_does_for_two_batch_sizes(tmp_path: Path, to: str) -> None:
    said = export(tmp_path, to, VALUES)
    assert "46 blobs checked against torchcaffe" in said[1]


@pytest.mark.slow
def test_they_compute_what_caffe_does(tmp_path: Path, pycaffe: Path) -> None:
    assert "46 blobs checked against BVLC Caffe 1.0.0" in export(tmp_path, "onnx", VALUES, pycaffe=pycaffe)[1]
