"""Log lines and numbers as glog and C++ streams write them."""

import re

import numpy as np
import pytest

from caffeformat import prototxt
from caffeformat.caffeformat_pb2 import SolverParameter
from torchcaffe.common import log


@pytest.fixture
def enabled(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(log.Logger, "enabled", True)


def test_a_line_has_severity_date_time_thread_and_place(enabled: None, capsys: pytest.CaptureFixture[str]) -> None:
    log.info("solver.cpp:218", "Iteration 20")
    log.warning("a.cpp:1", "w")
    log.error("b.cpp:2", "e")
    log.fatal("c.cpp:3", "f")
    lines = capsys.readouterr().err.splitlines()
    stamp = r"\d{4} \d\d:\d\d:\d\d\.\d{6} +\d+ "
    assert re.fullmatch(rf"I{stamp}solver\.cpp:218\] Iteration 20", lines[0])
    assert [line[0] for line in lines] == ["I", "W", "E", "F", "*"]
    assert lines[-1] == "*** Check failure stack trace: ***"


def test_nothing_is_written_unless_the_log_is_enabled(capsys: pytest.CaptureFixture[str]) -> None:
    log.info("solver.cpp:218", "Iteration 20")
    assert capsys.readouterr().err == ""


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (0.1, "0.1"),
        (np.float32(0.1), "0.1"),
        (1 / 3, "0.333333"),
        (1e10, "1e+10"),
        (123456.7, "123457"),
        (1e-5, "1e-05"),
        (2.0, "2"),
        (float("inf"), "inf"),
        (float("nan"), "nan"),
        (-float("nan"), "-nan"),
        (1e39, "inf"),
    ],
)
def test_a_number_is_a_float32_with_six_digits(value: float, text: str) -> None:
    with np.errstate(all="ignore"):
        assert log.number(value) == text


def test_an_output_with_a_loss_weight_shows_its_share_of_the_loss() -> None:
    assert log.weighted_loss(2.5, 0.3) == " (* 0.3 = 0.75 loss)"
    assert log.weighted_loss(2.5, 0) == ""


def test_a_message_is_printed_with_whole_floats_as_c_prints_them() -> None:
    param = prototxt.parse('net: "a: 1.0" base_lr: 1 gamma: 0.5 weight_decay: -2 max_iter: 7', SolverParameter(), "s")
    text = 'net: "a: 1.0"\nbase_lr: 1\nmax_iter: 7\ngamma: 0.5\nweight_decay: -2'
    assert sorted(log.debug_string(param).split("\n")) == sorted(text.split("\n"))


def test_a_shape_is_its_sizes_and_their_product() -> None:
    assert log.shape_string((64, 1, 24, 24)) == "64 1 24 24 (36864)"
    assert log.shape_string(()) == "(1)"


def test_a_check_that_fails_carries_the_place_in_caffes_source() -> None:
    log.check([1], "never", "net.cpp:1")
    with pytest.raises(log.Fatal, match="a message") as error:
        log.check([], "a message", "net.cpp:757")
    assert error.value.place == "net.cpp:757"
