"""Nets with several heads, trained by both engines: accuracy, loss and predictions are those of the headline's head.

They are compared with numbers that numpy computes from the trained weights and the validation images.
"""

import sys
from pathlib import Path

import numpy as np
import pytest

from caffeformat import datum, lmdb_file, prototxt
from caffeformat.blobs import read_caffemodel, read_mean
from tests.helpers import trained_project
from tools.common.files import load_json
from tools.parse import TEST as TEST_CSV
from tools.predict import scoring_net
from tools.protocol.experiment import load
from tools.protocol.layout import Run, split_of
from tools.protocol.runs import mean_of, runs_of, train_set
from tools.results.columns import PREDICTIONS, read_csv
from tools.run import run_one
from tools.summarize import summarize
from tools.training.engine import Engine

FILLED = 'weight_filler { type: "xavier" } } param { lr_mult: 1 } param { lr_mult: 2 }'


def head(name: str, bottom: str) -> str:
    """An auxiliary head with more outputs than there are classes, an accuracy and a weighted loss."""
    return f"""
layer {{ name: "{name}" type: "InnerProduct" bottom: "{bottom}" top: "{name}"
  inner_product_param {{ num_output: 7 {FILLED} }}
layer {{ name: "{name}_accuracy" type: "Accuracy" bottom: "{name}" bottom: "label" top: "{name}_accuracy"
  include {{ phase: TEST }} }}
layer {{ name: "{name}_loss" type: "SoftmaxWithLoss" bottom: "{name}" bottom: "label" top: "{name}_loss"
  loss_weight: 0.3 }}
"""


MANY_HEADS = trained_project.NET.replace('layer { name: "fc2"', head("aux", "conv1") + 'layer { name: "fc2"').replace(
    'layer { name: "accuracy"',
    """layer { name: "drop" type: "Dropout" bottom: "fc2" top: "dropped" include { phase: TRAIN } }
layer { name: "unread" type: "Silence" bottom: "dropped" include { phase: TRAIN } }
layer { name: "training" type: "Accuracy" bottom: "fc3" bottom: "label" top: "training" include { phase: TRAIN } }
layer { name: "second" type: "Accuracy" bottom: "fc3" bottom: "label" top: "second" accuracy_param { top_k: 2 }
  include { phase: TEST } }
layer { name: "probability" type: "Softmax" bottom: "fc3" top: "probability" include { phase: TEST } }
layer { name: "accuracy\"""",
).replace(
    '"Accuracy" bottom: "fc3" bottom: "label" top: "accuracy"',
    '"Accuracy" bottom: "probability" bottom: "label" top: "accuracy"',
) + head("tail", "conv1")


pytestmark = pytest.mark.slow


@pytest.fixture(params=["caffe", "torchcaffe"])
def either(request: pytest.FixtureRequest, caffe: Path, root: Path) -> Engine:
    """BVLC Caffe, and torchcaffe as an executable."""
    if request.param == "caffe":
        return Engine(caffe)
    program = root / "bin" / "torchcaffe"
    program.parent.mkdir()
    program.write_text(f'#!/bin/sh\nexec {sys.executable} -m torchcaffe "$@"\n')
    program.chmod(0o755)
    return Engine(program)


def scores(run: Run, exp, classifier: str) -> tuple[np.ndarray, np.ndarray]:
    """The scores of `classifier`, N x K, of the validation images, by numpy; and their labels."""
    manifest = load_json(run.manifest)
    blobs = read_caffemodel(run.folder / manifest["model"]["file"])
    with lmdb_file.open_reader(split_of(exp, 0).val_lmdb(train_set(exp, run)[0])) as reader:
        images, labels = zip(*(datum.decode(value) for _, value in reader), strict=True)
    mean = read_mean(mean_of(exp, run))
    x = (np.stack(images).astype(np.float32) - mean.reshape(1, 1, 12, 12)) * np.float32(0.0078125)

    def layer(name: str, values: np.ndarray) -> np.ndarray:
        weights, bias = next(arrays for key, arrays in blobs.items() if key.rstrip("_T") == name)
        return values @ weights.reshape(len(bias.ravel()), -1).T + bias.ravel()

    patches = x.reshape(-1, 3, 4, 3, 4).transpose(0, 1, 3, 2, 4).reshape(-1, 9, 16)
    conv1 = np.maximum(layer("conv1", patches), 0).transpose(0, 2, 1).reshape(len(x), -1)
    before = np.maximum(layer("fc2", conv1), 0) if classifier == "fc3" else conv1
    return layer(classifier, before), np.array(labels)


def test_the_headline_is_the_deepest_heads_and_no_classifier_of_the_source_is_copied(
    root: Path, either: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GPUS", "")
    monkeypatch.setenv("OPENBLAS_NUM_THREADS", "1")
    trained_project.write_project(root / "images")
    Path("prototxt/three/train_val.prototxt").write_text(MANY_HEADS)
    conditions = "base,FTall,S1T,S1T-retain" if either.name == "caffe" else "base"  # torchcaffe takes long to start
    exp = load(Path("experiments/quick.yaml"), f"conditions=[{conditions}] sizes=[12] keep_models=all")
    trained_project.prepare(exp)
    for run in runs_of(exp, either.name):
        manifest = run_one(exp, run, either)
        result = manifest["result"]
        found, labels = scores(run, exp, "fc3")
        right = found.argmax(1) == labels
        assert result["accuracy"] == pytest.approx(right.mean(), abs=1e-6), run.key
        assert manifest["predictions"]["accuracy"] == pytest.approx(right.mean(), abs=1e-6)
        with np.load(run.folder / PREDICTIONS) as file:
            np.testing.assert_array_equal(file["predicted"], found.argmax(1))
        shares = np.exp(found - found.max(1, keepdims=True))
        losses = -np.log((shares / shares.sum(1, keepdims=True))[np.arange(len(labels)), labels])
        assert result["loss"] == pytest.approx(losses.mean(), rel=1e-4)
        last = read_csv(run.folder / TEST_CSV)[-1]
        for name in ("aux", "tail"):  # and the other columns are those of the other heads
            others, _ = scores(run, exp, name)
            assert others.shape[1] == 2, "an auxiliary head has the classes of the half, too"
            assert last[f"{name}_accuracy"] == pytest.approx((others.argmax(1) == labels).mean(), abs=1e-6)
        net = prototxt.read_net(run.folder / "train_val.prototxt")
        names = {layer.name for layer in net.layer if layer.type in ("Convolution", "InnerProduct")}
        if run.condition == "base":
            assert names == {"conv1", "aux", "fc2", "fc3", "tail"}
        elif run.condition == "FTall":
            assert names == {"conv1", "aux_T", "fc2", "fc3_T", "tail_T"}
            assert manifest["proofs"]["ignored"] == ["aux", "fc3", "tail"]
        elif run.condition == "S1T":
            assert names == {"conv1", "aux_T", "fc2_T", "fc3_T", "tail_T"}
        else:
            assert names == {"conv1", "aux_T_T", "fc2_T", "fc3_T_T", "tail_T_T"}
        assert [layer.name for layer in scoring_net(run)[0].layer][-3:] == [
            *(name for name in ("fc3", "fc3_T", "fc3_T_T") if name in names),
            "probability",
            "predicted",
        ]
    summarize(exp, either.name)
    curves = read_csv(Path("results") / runs_of(exp, either.name)[0].experiment / "curves.csv")
    all_of_base = [row for row in curves if row["run"] == "A2B/n0012/base/seed0"]
    of_base = [row for row in all_of_base if row["training_loss"] is not None]
    train = read_csv(Path("models") / runs_of(exp, either.name)[0].experiment / "A2B/n0012/base/seed0/train.csv")
    assert [row["training_loss"] for row in of_base] == [row["loss"] for row in train if row["loss"] is not None], (
        "without the auxiliary losses"
    )
    assert train[-1]["SmoothedLoss"] is not None and train[-1]["NumIters"] == all_of_base[-1]["iteration"] == 40
    assert all_of_base[-1]["training_loss"] is None, "Caffe prints no outputs at the last iteration"
