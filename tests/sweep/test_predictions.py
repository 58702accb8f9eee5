"""Predictions of a run by `caffe test`, compared with pycaffe's; and how older runs get theirs."""

import json
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from caffeformat import datum, lmdb_file
from tools.predict import predict
from tools.protocol.layout import Run
from tools.training.engine import Engine
from tools.training.process import RunFailed

pytestmark = pytest.mark.slow

RUN = Run("small", "B2A", 60, "base", 0)  # 10 classes, 100 validation images in two batches
ONE = "sizes=[60] directions=[B2A] conditions=[base]"
PYCAFFE = """
import sys
import caffe
import numpy as np
folder, model, batches = sys.argv[1], sys.argv[2], int(sys.argv[3])
net = caffe.Net(folder + '/train_val.prototxt', model, caffe.TEST)
rows = [(net.forward(), net.blobs['label'].data.copy(), net.blobs['fc8'].data.argmax(1))[1:] for _ in range(batches)]
np.save(folder + '/oracle.npy', np.array([np.concatenate(part) for part in zip(*rows)]))
"""


def manifest(run: Run = RUN) -> dict:
    return json.loads(run.manifest.read_text())


def arrays(run: Run = RUN) -> dict[str, np.ndarray]:
    with np.load(run.folder / "predictions.npz") as file:
        return dict(file)


def forget_predictions() -> None:
    """The run as a version before predictions left it."""
    known = manifest()
    del known["predictions"]
    RUN.manifest.write_text(json.dumps(known))
    for path in RUN.folder.glob("predict*"):
        path.unlink()


def test_predictions_are_those_of_pycaffe_for_every_validation_image_in_the_order_of_the_lmdb(swept, pycaffe):
    model = RUN.folder / "net_iter_10.caffemodel"
    subprocess.run([pycaffe, "-c", PYCAFFE, RUN.folder, model, "2"], check=True, capture_output=True)
    labels, predicted = np.load(RUN.folder / "oracle.npy")
    found = arrays()
    assert found["label"].dtype == found["predicted"].dtype == np.uint16
    assert np.array_equal(found["label"], labels) and np.array_equal(found["predicted"], predicted)
    with lmdb_file.open_reader(Path("data/tiny-imagenet/split0/64x64/A/val")) as reader:
        assert found["label"].tolist() == [datum.decode(value)[1] for _, value in reader]
    told = manifest()
    assert told["predictions"]["images"] == 100
    assert told["predictions"]["accuracy"] == pytest.approx(told["result"]["accuracy"], abs=1e-6)
    assert not (RUN.folder / "predict.log").exists()


def test_the_same_net_gives_the_same_bytes(swept, small):
    before = (RUN.folder / "predictions.npz").read_bytes()
    (RUN.folder / "predictions.npz").unlink()
    assert "100 images" in swept("predict", small, RUN.key)
    assert (RUN.folder / "predictions.npz").read_bytes() == before


def test_the_next_sweep_adds_the_predictions_of_an_older_run_without_training_it_again(swept, small):
    before = manifest()
    forget_predictions()
    log = (RUN.folder / "caffe.log").stat().st_mtime_ns
    assert "1 unscored" in swept("status", small, "--set", ONE)
    assert "Nothing is left to train" in swept("sweep", small, "--dry-run", "--set", ONE)
    assert "1 of 1 runs to do" in swept("sweep", small, "--set", ONE)
    assert manifest() == before
    assert (RUN.folder / "caffe.log").stat().st_mtime_ns == log
    assert "nothing to do" in swept("sweep", small, "--set", ONE)


def test_an_older_run_whose_net_is_gone_stays_complete_without_predictions(swept, small):
    forget_predictions()
    (RUN.folder / "net_iter_10.caffemodel").unlink()
    assert "1 done of 1 runs" in swept("status", small, "--set", ONE)


def test_predictions_that_were_edited_are_made_again(swept, small):
    right = (RUN.folder / "predictions.npz").read_bytes()
    (RUN.folder / "predictions.npz").write_bytes(right[:-30])
    swept("run", small, RUN.key)
    assert (RUN.folder / "predictions.npz").read_bytes() == right


def test_a_net_that_is_not_the_runs_gives_no_predictions_and_the_result_stands_once_it_is_back(swept, small):
    before, model = manifest(), RUN.folder / "net_iter_10.caffemodel"
    forget_predictions()
    good = shutil.copy(model, "good")
    model.write_bytes(model.read_bytes()[:-4] + b"\0\0\0\0")
    said = swept("run", small, RUN.key, status=2)
    assert "net_iter_10.caffemodel: not the net that its manifest.json names" in said
    assert "failed" in swept("status", small, "--set", ONE) and not RUN.manifest.exists()
    shutil.copy(good, model)
    swept("run", small, RUN.key)
    assert manifest() == before and not RUN.failed.exists()


def test_a_net_is_scored_before_it_goes(swept, small):
    run = Run("small", "B2A", 10, "base", 0)
    shutil.rmtree(run.folder)
    swept("run", small, run.key, "--set", "keep_models=sources sizes=[60,10]")
    assert not list(run.folder.glob("*.caffemodel"))
    assert len(arrays(run)["predicted"]) == 100


def test_predictions_that_do_not_give_the_accuracy_of_the_log_are_refused(swept, caffe):
    with pytest.raises(RunFailed, match=r"the predictions are right for .* of the images, the log says 0\.9"):
        predict(RUN, Engine(caffe), RUN.folder / "net_iter_10.caffemodel", 0.9)
    assert (RUN.folder / "predict.log").exists()


def test_a_test_that_leaves_out_images_is_refused(swept, tmp_path, caffe):
    """A real engine behind a wrapper that tests one batch where two are asked for."""
    short = tmp_path / "bin" / "caffe"
    short.parent.mkdir()
    short.write_text(f'#!/bin/sh\nexec "{caffe}" $(echo "$*" | sed s/--iterations=2/--iterations=1/)\n')
    short.chmod(0o755)
    with pytest.raises(RunFailed, match="50 labels and 50 predictions, not 100 of each"):
        predict(RUN, Engine(short), RUN.folder / "net_iter_10.caffemodel", manifest()["result"]["accuracy"])


def test_torchcaffe_predicts_the_same_of_the_same_net(swept, tmp_path, checkout):
    pytest.importorskip("torch")
    before = arrays()
    engine = tmp_path / "bin" / "torchcaffe"
    engine.parent.mkdir()
    text = f"#!/bin/sh\nPYTHONPATH='{checkout}' exec '{sys.executable}' -c 'import sys\n"
    engine.write_text(f'{text}from torchcaffe.cli import main\nsys.exit(main())\' "$@"\n')
    engine.chmod(0o755)
    predict(RUN, Engine(engine), RUN.folder / "net_iter_10.caffemodel", manifest()["result"]["accuracy"])
    after = arrays()
    assert np.array_equal(after["label"], before["label"])
    assert (after["predicted"] == before["predicted"]).mean() >= 0.99
