"""A safetensors file with Caffe's blobs."""

from pathlib import Path

import numpy as np
from safetensors.numpy import load_file

from caffeformat.blobs import read_caffemodel
from tests.helpers.exported import LENET, export


def test_the_keys_are_the_layer_and_the_index_of_the_blob(tmp_path: Path) -> None:
    assert "4 blobs" in export(tmp_path, "safetensors", LENET)[0]
    found, right = load_file(tmp_path / "out"), read_caffemodel(tmp_path / "net.caffemodel")
    assert sorted(found) == ["conv1/0", "conv1/1", "ip/2/0", "ip/2/1"]
    for key, array in found.items():
        layer, _, index = key.rpartition("/")
        np.testing.assert_array_equal(array, right[layer][int(index)])
