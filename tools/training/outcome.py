"""The result of a finished run: its headline numbers, and whether they can be trusted."""

import math
from typing import Any

from tools.caffe_log import Log
from tools.common.errors import UserError
from tools.nets.templates import Rendered
from tools.protocol.heads import SMOOTHED
from tools.results.columns import RESULT_COLUMNS, whole_row
from tools.training.learning import Chance, Evidence, chance_of, is_stuck, last_tenth

MAX_LOSS = 87.0  # BVLC Caffe prints -log(max(p, FLT_MIN)) as the loss of an image: 87.3365 if the net has diverged
FLAGS = {
    "stuck": "accuracy at chance and no loss clearly better than chance, or all losses flat",
    "diverged": "loss is NaN, infinite or at Caffe's ceiling",
    "failed": "see failed.json and caffe.log in it",
}  # status -> why a run with it is in no mean; every status but `ok`


def outcome(
    log: Log, rendered: Rendered, classes: int, outputs: int, val_images: int, chance: Chance | None = None
) -> dict[str, Any]:
    """The result columns of runs.csv, from a run's log. Raises UserError if a test has no accuracy or loss.

    accuracy: of the test at the last iteration, the headline.
    best_accuracy, best_iter: the best of all tests after iteration 0.
    status: `diverged` if a value at the end is NaN or infinite, or a log loss at Caffe's ceiling; `stuck` if nothing
    in the log shows that the net has learned (tools/training/learning.py); otherwise `ok`. The end is the last tenth of
    the displays. Without `chance`, the classes count as equally large.
    """
    tests = [row for row in log.test.rows() if row["TestNet"] == 0]
    first = next((row for row in tests if not row["NumIters"]), None)
    tests = [row for row in tests if row["NumIters"]]
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
    whole_losses = [_value(row, SMOOTHED) for row in log.train.rows()]
    log_losses = [] if rendered.training_loss is None else _column(log, rendered.training_loss)
    ends = [accuracy, loss, *last_tenth(whole_losses)]
    bounded = [*([loss] if rendered.is_log_loss else []), *last_tenth(log_losses)]
    if not all(map(math.isfinite, ends)) or any(x >= MAX_LOSS for x in bounded):
        return result | {"status": "diverged"}
    evidence = Evidence(
        list(filter(math.isfinite, (_value(row, rendered.accuracy) for row in tests))),
        val_images,
        loss if rendered.is_log_loss else None,
        first.get(rendered.loss) if first and rendered.is_log_loss else None,
        list(filter(math.isfinite, log_losses)),
    )
    equal = chance_of([1] * classes, [1] * classes, outputs)
    return result | {"status": "stuck" if is_stuck(evidence, chance or equal) else "ok"}


def _column(log: Log, name: str) -> list[float]:
    """The values of a column of train.csv; none if it has iteration 0 alone, which is before any learning.

    The last display, after the last iteration, has no outputs of the net.
    """
    rows = [row for row in log.train.rows() if row.get(name) is not None]
    return [_value(row, name) for row in rows] if any(row["NumIters"] for row in rows) else []


def _value(row: dict[str, float | None], column: str) -> float:
    value = row.get(column)
    if value is None:
        raise UserError(f"caffe.log: no {column} at iteration {row['NumIters']}; its layer's top must be a net output")
    return value
