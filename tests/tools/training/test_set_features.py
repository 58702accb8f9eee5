"""Features of a trained net, from real Caffe, compared with the same net computed in numpy."""

from pathlib import Path

import numpy as np
import pytest

from caffeformat import datum, lmdb_file
from caffeformat.blobs import read_caffemodel, read_mean
from tools.protocol.experiment import Experiment
from tools.protocol.layout import split_of
from tools.protocol.runs import find_run, mean_of
from tools.training.engine import Engine
from tools.training.inputs import trained_weights
from tools.training.process import RunFailed
from tools.training.set_features import features_net


def test_features_are_those_of_the_net_on_the_first_images_of_the_lmdb(trained: Experiment, engine: Engine) -> None:
    run = find_run(trained, "caffe", "B2A/n0012/base/seed0")
    lmdb, mean = split_of(trained, 0).val_lmdb("B"), mean_of(trained, run)
    net = features_net(trained, run, {1}, lmdb, mean)
    assert net.layers == {1: "conv1", 2: "fc2"} and net.batch == 20
    weights = trained_weights(run)[0]
    found = net.features(engine, Path("features.prototxt"), weights, 30)
    assert Path("features.prototxt").read_text() == net.text

    with lmdb_file.open_reader(lmdb) as reader:
        images, labels = zip(*(datum.decode(value) for _, value in list(reader)[:30]), strict=True)
    assert list(found.labels) == list(labels)
    blobs = read_caffemodel(weights)
    pixels = (np.stack(images) - read_mean(mean)) / 128  # 30 x 1 x 12 x 12; conv1: 4 x 4, stride 4
    patches = pixels.reshape(30, 3, 4, 3, 4).transpose(0, 1, 3, 2, 4).reshape(30, 9, 16)
    conv1 = np.maximum(patches @ blobs["conv1"][0].reshape(6, 16).T + blobs["conv1"][1], 0)  # 30 x 9 x 6
    assert found.of_layer[1] == pytest.approx(conv1.mean(1), rel=1e-3, abs=1e-4)
    fc2 = np.maximum(conv1.transpose(0, 2, 1).reshape(30, 54) @ blobs["fc2"][0].T + blobs["fc2"][1], 0)
    assert found.of_layer[2] == pytest.approx(fc2, rel=1e-3, abs=1e-4)
    exponents = np.exp(fc2 @ blobs["fc3"][0].T + blobs["fc3"][1])
    assert found.probabilities == pytest.approx(exponents / exponents.sum(1, keepdims=True), abs=1e-4)


def test_an_engine_that_fails_is_an_error(trained: Experiment, engine: Engine) -> None:
    run = find_run(trained, "caffe", "B2A/n0012/base/seed0")
    net = features_net(trained, run, set(), split_of(trained, 0).val_lmdb("B"), mean_of(trained, run))
    with pytest.raises(RunFailed, match=r"gone\.caffemodel"):
        net.features(engine, Path("features.prototxt"), Path("gone.caffemodel"), 4)
