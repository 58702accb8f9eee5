"""Features through real Caffe: a layer's outputs for the images of an LMDB."""

from pathlib import Path

import numpy as np
import pytest

from tools.common.errors import UserError
from tools.training.engine import Engine
from tools.training.features import layer_features

pytestmark = pytest.mark.usefixtures("root")


def test_features_are_the_layers_answers_behind_its_relu(small_net, caffe: Path):
    images, weights = small_net
    found = layer_features(Engine(caffe), Path("net.prototxt"), Path("net.caffemodel"), "fc1", Path("lmdb"), 40)
    assert np.allclose(found, np.maximum(images[:40] @ weights.T, 0))
    assert found.max() > 0


def test_a_layer_that_is_not_there_is_named_with_those_that_are(small_net, caffe: Path):
    with pytest.raises(UserError, match=r"net.prototxt: no layer 'conv1'; there are fc1, fc2"):
        layer_features(Engine(caffe), Path("net.prototxt"), Path("net.caffemodel"), "conv1", Path("lmdb"), 40)
