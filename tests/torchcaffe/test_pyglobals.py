"""pycaffe's functions about the process."""

import time

import pytest

import torchcaffe as caffe
from torchcaffe.common.log import Fatal


def test_the_log_shows_the_severities_that_init_log_names(capsys: pytest.CaptureFixture[str]) -> None:
    caffe.init_log(0, True)
    caffe.log("Using devices [0]")
    assert capsys.readouterr().err.endswith("_caffe.cpp:66] Using devices [0]\n")
    caffe.init_log(2)
    caffe.log("no")
    assert capsys.readouterr().err == ""


def test_a_timer_measures_milliseconds() -> None:
    timer = caffe.Timer()
    assert timer.ms == 0
    timer.start()
    time.sleep(0.02)
    timer.stop()
    assert 20 <= timer.ms < 2000
    assert timer.ms == timer.ms


def test_one_solver_trains_and_more_are_refused() -> None:
    assert (caffe.solver_count(), caffe.solver_rank(), caffe.has_nccl()) == (1, 0, False)
    caffe.set_solver_count(1)
    caffe.set_solver_rank(0)
    caffe.set_multiprocess(False)
    for call in (
        lambda: caffe.set_solver_count(2),
        lambda: caffe.set_solver_rank(1),
        lambda: caffe.set_multiprocess(True),
        lambda: caffe.NCCL(None, ""),
        caffe.NCCL.new_uid,
    ):
        with pytest.raises(Fatal, match="torchcaffe trains with one solver in one process"):
            call()
