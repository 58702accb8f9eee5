"""Layers over maps as ONNX and as PyTorch code: onnx_maps.py and torch_maps.py."""

from pathlib import Path

import pytest

from caffeformat import FormatError
from tests.helpers.both_engines import net_of
from tests.helpers.exported import MAPS, conv, export, layer


@pytest.mark.parametrize("to", ["onnx", "pytorch"])
def test_they_compute_what_torchcaffe_does_for_two_batch_sizes(tmp_path: Path, to: str) -> None:
    said = export(tmp_path, to, MAPS)
    assert "54 blobs checked against torchcaffe" in said[1]


@pytest.mark.parametrize("to", ["onnx", "pytorch"])
def test_mvn_of_fewer_axes_has_a_top_of_four(tmp_path: Path, to: str, pycaffe: Path) -> None:
    body = layer("InnerProduct", "ip", "rows", "inner_product_param { num_output: 6 }")
    body += layer("MVN", "row", "ip", "mvn_param { across_channels: true }") + layer("MVN", "channel", "x")
    body += layer("MVN", "centred", "rows", "mvn_param { normalize_variance: false }")
    said = export(tmp_path, to, net_of(body, rows=(4, 12), x=(4, 3, 8)), pycaffe=pycaffe)
    assert "8 blobs checked against BVLC Caffe 1.0.0" in said[1]


def test_mvn_of_single_values_is_refused_where_gradients_count(tmp_path: Path) -> None:
    body = layer("Convolution", "c", settings=conv("num_output: 2 kernel_size: 4")) + layer("MVN", "y", "c")
    with pytest.raises(FormatError, match=r"layer 'y' \(MVN\): the variance of a single value"):
        export(tmp_path, "pytorch", net_of(body, x=(2, 3, 4, 4)))


@pytest.mark.slow
@pytest.mark.parametrize("to", ["onnx", "pytorch"])
def test_they_compute_what_caffe_does(tmp_path: Path, pycaffe: Path, to: str) -> None:
    assert "54 blobs checked against BVLC Caffe 1.0.0" in export(tmp_path, to, MAPS, pycaffe=pycaffe)[1]
