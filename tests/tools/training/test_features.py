"""Features through real Caffe: a layer's outputs for the images of an LMDB."""

from pathlib import Path

import numpy as np
import pytest

from caffeformat import prototxt
from caffeformat.caffeformat_pb2 import SolverParameter
from tools.common.errors import UserError
from tools.training.engine import Engine
from tools.training.features import layer_features

pytestmark = pytest.mark.usefixtures("root")


def features(caffe: Path, layer: str, solver: str = "") -> np.ndarray:
    state = prototxt.parse(solver, SolverParameter(), "solver")
    return layer_features(
        Engine(caffe), Path("net.prototxt"), state, Path("net.caffemodel"), layer, Path("lmdb"), images=40
    )


def test_features_are_the_layers_answers_behind_its_relu(small_net, caffe: Path):
    images, weights = small_net
    found = features(caffe, "fc1")
    assert np.allclose(found, np.maximum(images[:40] @ weights.T, 0))
    assert found.max() > 0


def test_a_layer_that_is_not_there_is_named_with_those_that_are(small_net, caffe: Path):
    with pytest.raises(UserError, match=r"net.prototxt: no layer 'conv1'; there are fc1, fc2"):
        features(caffe, "conv1")


def test_the_layer_is_that_of_the_solvers_test_state(small_net, caffe: Path):
    images, weights = small_net
    file = Path("net.prototxt")
    rules = {"fc1": 'include { stage: "own" }', "fc2": "include { phase: TRAIN }"}
    text = file.read_text()
    for name, rule in rules.items():
        text = text.replace(f'name: "{name}" type', f'name: "{name}" {rule} type')
    file.write_text(text)
    found = features(caffe, "fc1", 'test_state { stage: "own" }')
    assert np.allclose(found, np.maximum(images[:40] @ weights.T, 0))
    with pytest.raises(UserError, match="no layer 'fc2'; there are fc1 in the TEST phase"):
        features(caffe, "fc2", 'test_state { stage: "own" }')
