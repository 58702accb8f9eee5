"""The result of a finished run: its headline numbers, and whether they can be trusted."""

import math
from typing import Any

from tools.caffe_log import Log
from tools.common.errors import UserError
from tools.nets.templates import Rendered
from tools.results.columns import RESULT_COLUMNS, whole_row

MAX_LOSS = 87.0  # BVLC Caffe prints -log(max(p, FLT_MIN)) as the loss of an image: 87.3365 if the net has diverged
FLAGS = {
    "stuck": "accuracy at chance, or training loss flat",
    "diverged": "loss is NaN, infinite or at Caffe's ceiling",
    "failed": "see failed.json and caffe.log in it",
}  # status -> why a run with it is in no mean; every status but `ok`
FLAT = 0.99  # a loss of at least this share of ln(outputs), the loss at chance, counts as flat


def outcome(log: Log, rendered: Rendered, classes: int, outputs: int, val_images: int) -> dict[str, Any]:
    """The result columns of runs.csv, from a run's log. Raises UserError if a test has no accuracy or loss.

    accuracy: of the test at the last iteration, the headline.
    best_accuracy, best_iter: the best of all tests after iteration 0.
    status: `diverged` if the loss is NaN, infinite or at Caffe's ceiling at the end; `stuck` if the accuracy is not
    above chance (1/classes) by three standard errors, or if training and test loss both end flat at ln(outputs);
    otherwise `ok`. The end is the last tenth of the displays.
    """
    tests = [row for row in log.test.rows() if row["TestNet"] == 0 and row["NumIters"]]
    if not tests or not len(log.train):
        raise UserError(
            f"caffe.log: {len(tests)} tests after iteration 0, {len(log.train)} displays; at least one each"
        )
    last = tests[-1]
    accuracy, loss = _value(last, rendered.accuracy), _value(last, rendered.loss)
    best = max(tests, key=lambda row: _value(row, rendered.accuracy))
    result = whole_row(
        RESULT_COLUMNS,
        accuracy=accuracy,
        best_accuracy=best[rendered.accuracy],
        best_iter=int(_value(best, "NumIters")),
        loss=loss,
        iters=int(_value(last, "NumIters")),
        seconds=round(log.seconds, 1),
        images_per_s=round(log.iters_per_s * rendered.train_batch, 1) if log.iters_per_s > 0 else None,
    )
    chance = 1 / classes
    standard_error = math.sqrt(chance * (1 - chance) / val_images)
    losses = [_value(row, "SmoothedLoss") for row in log.train.rows()]
    last_losses = losses[-max(1, len(losses) // 10) :]
    final_loss = min(loss, sum(last_losses) / len(last_losses))
    if not all(math.isfinite(x) and x < MAX_LOSS for x in [loss, *last_losses]):
        status = "diverged"
    elif accuracy <= chance + 3 * standard_error or final_loss >= FLAT * math.log(outputs):
        status = "stuck"
    else:
        status = "ok"
    return result | {"status": status}


def _value(row: dict[str, float | None], column: str) -> float:
    value = row.get(column)
    if value is None:
        raise UserError(f"caffe.log: no {column} at iteration {row['NumIters']}; its layer's top must be a net output")
    return value
