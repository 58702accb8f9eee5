"""A small trained net with its data, whose outputs a test can compute by hand."""

from pathlib import Path

import numpy as np
import pytest

from caffeformat import datum, lmdb_file
from caffeformat.blobs import caffemodel_bytes
from tools.common.files import write_atomic

NET = """\
name: "Two"
layer { name: "data" type: "Data" top: "data" top: "label" include { phase: TRAIN }
  data_param { source: "none" batch_size: 5 backend: LMDB } }
layer { name: "data" type: "Data" top: "data" top: "label" include { phase: TEST }
  data_param { source: "none" batch_size: 5 backend: LMDB } }
layer { name: "fc1" type: "InnerProduct" bottom: "data" top: "fc1"
  inner_product_param { num_output: 2 bias_term: false } }
layer { name: "relu1" type: "ReLU" bottom: "fc1" top: "fc1" }
layer { name: "fc2" type: "InnerProduct" bottom: "fc1" top: "fc2" inner_product_param { num_output: 3 } }
layer { name: "loss" type: "SoftmaxWithLoss" bottom: "fc2" bottom: "label" top: "loss" }
"""


@pytest.fixture
def small_net() -> tuple[Path, np.ndarray]:
    """net.prototxt, net.caffemodel and an LMDB of 60 images of 1 x 2 x 2; the weights of fc1, 2 x 4."""
    weights = np.array([[1, -1, 0.5, 0], [-1, 0, 0, 0.25]], np.float32)
    write_atomic(Path("net.prototxt"), NET)
    write_atomic(Path("net.caffemodel"), caffemodel_bytes({"fc1": [weights]}))
    images = [np.array([[[i, 2], [3, 4 * i % 7]]], np.uint8) for i in range(60)]
    lmdb_file.write(Path("lmdb"), ((lmdb_file.key(i, "x"), datum.encode(x, i % 3)) for i, x in enumerate(images)))
    return np.array(images).reshape(60, 4), weights
