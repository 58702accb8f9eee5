"""Log: the speed that a log shows."""

import math

from tools.caffe_log.log import Log
from tools.caffe_log.table import Table


def a_log(*points: tuple[float, float]) -> Log:
    """With train rows at these iterations and seconds."""
    log = Log(Table("SmoothedLoss"), Table("TestNet"))
    for iteration, seconds in points:
        log.train.append(("NumIters", "Seconds", "LearningRate", "SmoothedLoss"), [iteration, seconds, None, 1.0])
    return log


def test_the_speed_is_the_median_of_the_displayed_rates():
    log = a_log((0, 0.0), (20, 1.0))
    log.rates.extend([5, 7, 100])
    assert log.iters_per_s == 7


def test_without_displayed_rates_it_is_the_median_between_train_rows_that_differ_in_time():
    assert a_log((0, 0.0), (20, 1.0), (40, 1.0), (60, 3.0), (160, 4.0)).iters_per_s == 20
    assert math.isnan(a_log((0, 0.0)).iters_per_s)


def test_rows_of_the_same_iteration_are_counted():
    assert a_log((0, 0.0), (0, 0.1), (20, 1.0), (20, 1.1)).doubled_rows == 2
    assert a_log((0, 0.0), (20, 1.0)).doubled_rows == 0
