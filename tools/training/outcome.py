"""What a finished run came to: its headline figures, and whether they may be believed."""

import math

from tools.caffe_log import Log
from tools.nets.templates import Rendered

MAX_LOSS = 87.0  # BVLC Caffe prints -log(max(p, FLT_MIN)) as the loss of a sample: 87.3365 where it has diverged
FLAGS = {
    "stuck": "accuracy at chance, or training loss flat",
    "diverged": "loss is NaN, infinite or at Caffe's ceiling",
    "failed": "see failed.json and caffe.log in it",
}  # why a run is in no mean: every status but `ok`
FLAT = 0.99  # of ln k: a training loss this near to chance in the last tenth of the run is flat


def outcome(log: Log, rendered: Rendered, classes: int, outputs: int, val_images: int) -> dict:
    """The figures of runs.csv from a run's log.

    accuracy: the test at the last iteration, the headline; best_accuracy and best_iter: the best of all tests after
    iteration 0. status: `diverged` where a loss is NaN, infinite or at Caffe's ceiling at the end; `stuck` where the
    accuracy is not above chance, 1/classes, by three standard errors, or training and test loss both end flat at
    ln(outputs); else `ok`.
    """
    tests = [row for row in log.test.rows() if row["TestNet"] == 0 and row["NumIters"] > 0]
    last = tests[-1]
    accuracy, loss = last[rendered.accuracy], last[rendered.loss]
    best = max(tests, key=lambda row: row[rendered.accuracy])
    found = {
        "accuracy": accuracy,
        "best_accuracy": best[rendered.accuracy],
        "best_iter": int(best["NumIters"]),
        "loss": loss,
        "iters": int(last["NumIters"]),
        "seconds": round(log.seconds, 1),
        "images_per_s": round(log.iters_per_s * rendered.train_batch, 1) if log.iters_per_s > 0 else None,
    }
    chance = 1 / classes
    error = math.sqrt(chance * (1 - chance) / val_images)
    trained = [row["SmoothedLoss"] for row in log.train.rows()]
    ending = trained[-max(1, len(trained) // 10) :]
    if not all(math.isfinite(x) and x < MAX_LOSS for x in [loss, *ending]):
        status = "diverged"
    elif accuracy <= chance + 3 * error or min(loss, sum(ending) / len(ending)) >= FLAT * math.log(outputs):
        status = "stuck"
    else:
        status = "ok"
    return found | {"status": status}
