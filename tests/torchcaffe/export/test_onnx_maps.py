"""Layers over maps as ONNX and as PyTorch code: onnx_maps.py and torch_maps.py."""

from pathlib import Path

import pytest

from tests.helpers.exported import MAPS, export


@pytest.mark.parametrize("to", ["onnx", "pytorch"])
def test_they_compute_what_torchcaffe_does_for_two_batch_sizes(tmp_path: Path, to: str) -> None:
    said = export(tmp_path, to, MAPS)
    assert "46 blobs checked against torchcaffe" in said[1]


@pytest.mark.slow
@pytest.mark.parametrize("to", ["onnx", "pytorch"])
def test_they_compute_what_caffe_does(tmp_path: Path, pycaffe: Path, to: str) -> None:
    assert "46 blobs checked against BVLC Caffe 1.0.0" in export(tmp_path, to, MAPS, pycaffe=pycaffe)[1]
