"""The verb predict on real Caffe: the class of every validation image, and predictions that do not add up."""

from pathlib import Path

import numpy as np
import pytest

from caffeformat import datum, lmdb_file
from caffeformat.blobs import caffemodel_bytes, read_caffemodel
from tools.common.errors import UserError
from tools.common.files import load_json
from tools.predict import main, predict, scoring_net
from tools.protocol.experiment import Experiment
from tools.protocol.layout import Run, split_of
from tools.protocol.runs import find_run
from tools.training.engine import Engine
from tools.training.process import RunFailed

MODEL = "net_iter_40.caffemodel"


@pytest.fixture
def run(trained: Experiment) -> Run:
    return find_run(trained, "caffe", "A2B/n0004/S1T/seed0")


def test_labels_are_those_of_the_validation_lmdb_and_their_share_is_the_logs_accuracy(
    trained: Experiment, run: Run
) -> None:
    with np.load(run.folder / "predictions.npz") as arrays:
        label, predicted = arrays["label"], arrays["predicted"]
    with lmdb_file.open_reader(split_of(trained, 0).val_lmdb("B")) as reader:
        labels = [datum.decode(value)[1] for _, value in reader]
    assert label.dtype == predicted.dtype == np.uint16
    assert label.tolist() == labels and len(labels) == 40
    manifest = load_json(run.manifest)
    assert (label == predicted).mean() == pytest.approx(manifest["result"]["accuracy"])
    assert manifest["predictions"]["images"] == 40


def test_the_same_net_gives_the_same_bytes_and_leaves_no_log(run: Run, engine: Engine) -> None:
    before = (run.folder / "predictions.npz").read_bytes()
    accuracy = load_json(run.manifest)["result"]["accuracy"]
    (run.folder / "predictions.npz").unlink()
    record = predict(run, engine, run.folder / MODEL, accuracy)
    assert (run.folder / "predictions.npz").read_bytes() == before
    assert record["accuracy"] == pytest.approx(accuracy)
    assert not (run.folder / "predict.log").exists()


def test_the_scoring_net_ends_in_argmax_and_trains_nothing(run: Run) -> None:
    net, label, batches, images = scoring_net(run)
    assert [layer.name for layer in net.layer] == ["data", "conv1", "relu1", "fc2_T", "relu2", "fc3_T", "predicted"]
    assert (net.layer[-1].type, list(net.layer[-1].bottom), label) == ("ArgMax", ["fc3"], "label")
    assert (batches, images) == (2, 40)


def test_another_share_than_the_logs_is_an_error(run: Run, engine: Engine) -> None:
    accuracy = load_json(run.manifest)["result"]["accuracy"]
    with pytest.raises(RunFailed, match=r"predict\.log: the predictions are right for .* of the images, the log says"):
        predict(run, engine, run.folder / MODEL, accuracy - 0.1)


def test_images_whose_best_scores_are_equal_may_make_the_difference(run: Run, engine: Engine) -> None:
    """Accuracy counts a tie as wrong, ArgMax takes one of the classes: a net that learned nothing is no failed run."""
    net = read_caffemodel(run.folder / MODEL)
    (run.folder / MODEL).write_bytes(caffemodel_bytes(net | {"fc3_T": [np.zeros_like(blob) for blob in net["fc3_T"]]}))
    record = predict(run, engine, run.folder / MODEL, 0.0)
    assert (record["images"], record["accuracy"]) == (40, 0.5)
    assert {path.name for path in run.folder.iterdir()} >= {"predict.prototxt", "predictions.npz"}


def test_the_command_reads_the_accuracy_from_the_test_table(
    trained: Experiment, run: Run, capsys: pytest.CaptureFixture
) -> None:
    main(["experiments/quick.yaml", run.key])
    accuracy = load_json(run.manifest)["result"]["accuracy"]
    assert capsys.readouterr().out == f"{run.folder}/predictions.npz: 40 images, accuracy {accuracy:.4f}\n"
    Path(run.folder / "train.json").unlink()
    with pytest.raises(
        UserError, match=r"not trained yet; run `python -m tools train experiments/quick\.yaml A2B/n0004"
    ):
        main(["experiments/quick.yaml", run.key])
