"""A safetensors file with Caffe's blobs."""

from pathlib import Path

import numpy as np
from safetensors import safe_open
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


def test_the_same_net_gives_the_same_bytes_with_all_its_facts(tmp_path: Path) -> None:
    made = set()
    for _ in range(4):
        export(tmp_path, "safetensors", LENET.replace('"small"', '"s\u00e9"'))
        made.add((tmp_path / "out").read_bytes())
    assert len(made) == 1
    with safe_open(tmp_path / "out", "numpy") as file:
        facts = file.metadata()
    assert (facts["name"], facts["net"], len(facts["sha1"])) == ("s\u00e9", "net.prototxt", 40)
