"""Record the class that a trained net gives to every validation image: predictions.npz in the run's folder.

    python -m tools predict experiments/demo.yaml A2B/n0060/S3T/seed20

`caffe test` runs the run's TEST net over V_target once. The net (predict.prototxt) ends with the scores that the
headline's Accuracy layer reads, followed by an ArgMax layer. The label is its second output. Both BVLC Caffe and
torchcaffe print every value of every output.

predictions.npz: `label` and `predicted`, uint16, N, in the order of the validation LMDB, which all runs of a seed and
direction share: so two of them can be compared image by image. The same predictions have the same bytes.
"""

import math
import tempfile
from pathlib import Path

import numpy as np

from caffeformat import prototxt
from caffeformat.caffeformat_pb2 import ArgMaxParameter, NetParameter
from tools import cli
from tools.common.errors import UserError
from tools.common.files import lock, lock_shared, read_json, sha256, write_atomic
from tools.nets.templates import NET, SOLVER, headline_in
from tools.protocol.experiment import load
from tools.protocol.heads import PREDICTED, headline_of
from tools.protocol.layout import Run, lmdb_users
from tools.protocol.runs import find_run
from tools.results.columns import PREDICTIONS, read_log_csv
from tools.results.tables import npz_bytes
from tools.training.engine import Engine, engine_of
from tools.training.engine_outputs import layers_above, output_values
from tools.training.process import Contradiction, RunFailed

MODEL, LOG = "predict.prototxt", "predict.log"
NEAR_TIES = 0.001  # share of images: with other threads or kernels, two nearly equal scores may change their order


def predict(run: Run, engine: Engine, model: Path, accuracy: float) -> dict:
    """Writes the run's predictions.npz with its net `model`. Returns the manifest's entry about the predictions.

    `accuracy` is the headline accuracy in the training's log. Raises RunFailed if the engine fails or if the number of
    printed values is not that of the validation images, Contradiction if their accuracy differs from that in the log.
    """
    net, label, batches, images = scoring_net(run)
    write_atomic(run.folder / MODEL, prototxt.to_text(net))
    log = run.folder / LOG
    values = output_values(engine, run.folder / MODEL, model, batches, [label, PREDICTED], log)
    counts = [len(found) for found in values.values()]
    if counts != [images, images]:
        raise RunFailed(
            f"{log}: {counts[0]} labels and {counts[1]} predictions, not {images} of each; "
            f"{run.folder / MODEL} must print one of each for every validation image"
        )
    labels, predicted = (np.array(found).astype(np.uint16) for found in values.values())
    share = float((labels == predicted).mean())
    allowed = max(NEAR_TIES, 1 / images) + 1e-5
    if abs(share - accuracy) > allowed and abs(share - accuracy) > allowed + _ties(run, engine, model, net, batches):
        raise Contradiction(
            f"{log}: the predictions are right for {share:.6f} of the images, the log says {accuracy:.6f}"
        )
    write_atomic(run.folder / PREDICTIONS, npz_bytes({"label": labels, "predicted": predicted}))
    log.unlink()  # two lines an image, all of them now in predictions.npz
    return {
        "file": PREDICTIONS,
        "sha256": sha256(run.folder / PREDICTIONS),
        "images": images,
        "accuracy": round(share, 6),
    }


def _ties(run: Run, engine: Engine, model: Path, net: NetParameter, batches: int) -> float:
    """The share of the images whose two highest scores are equal, in the six digits that are printed.

    A net that learned nothing may give the same scores to all classes. ArgMax then takes one of them, which may be the
    label; Caffe's Accuracy counts the image as wrong.
    """
    net.layer[-1].argmax_param.CopyFrom(ArgMaxParameter(top_k=2, out_max_val=True))
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / MODEL
        write_atomic(file, prototxt.to_text(net))
        printed = output_values(engine, file, model, batches, [PREDICTED])[PREDICTED]
    if not len(printed) or len(printed) % 4:
        raise RunFailed(f"{file.name}: {engine.name} printed {len(printed)} values, not 4 an image")
    scores = printed.reshape(-1, 2, 2)[:, 1]  # of each image two classes, then their scores
    return float((scores[:, 0] == scores[:, 1]).mean())


def scoring_net(run: Run) -> tuple[NetParameter, str, int, int]:
    """The run's TEST net up to its scores, with an ArgMax layer; the label's name, the batches and images of a test."""
    file = run.folder / NET
    net, solver = prototxt.read_net(file), prototxt.read_solver(run.folder / SOLVER)
    accuracy = headline_of(net, file, solver).accuracy
    scores, label = accuracy.bottom
    cut = NetParameter(name=net.name)
    cut.layer.extend(layers_above(accuracy, net, solver))
    cut.layer.add(name=PREDICTED, type="ArgMax", bottom=[scores], top=[PREDICTED])
    batches = solver.test_iter[0]
    (data,) = (x for x in cut.layer if x.type == "Data")
    return cut, label, batches, batches * data.data_param.batch_size


def main(argv: list[str]) -> None:
    parser = cli.parser("predict", __doc__)
    cli.add_run(parser)
    arguments = parser.parse_args(argv)
    exp = load(arguments.experiment, arguments.set)
    engine = engine_of(exp)
    run = find_run(exp, engine.name, arguments.run)
    with lock(run.lock), lock_shared(lmdb_users(exp)):
        training = read_json(run.folder / "train.json")
        if training is None:
            raise UserError(f"{run.folder}: not trained yet; run `python -m tools train {exp.file} {run.key}` first")
        model = run.folder / training["model"]["file"]
        if sha256(model) != training["model"]["sha256"]:
            raise UserError(f"{model}: not the net that train.json names; `python -m tools run {exp.file} {run.key}`")
        accuracy, loss = headline_in(run.folder).outputs
        last = [row for row in read_log_csv(run.folder / "test.csv") if row["TestNet"] == 0][-1]
        if not math.isfinite(last[loss]):
            raise UserError(f"{run.folder} has diverged: its net has no scores from which a class can be predicted")
        predictions = predict(run, engine, model, last[accuracy])
    print(f"{run.folder / PREDICTIONS}: {predictions['images']} images, accuracy {predictions['accuracy']:.4f}")
