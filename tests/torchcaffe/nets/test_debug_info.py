"""The lines of `debug_info: true` beside Caffe's."""

from pathlib import Path

import pytest

from tests.helpers import engine_runs
from tests.helpers.log_runs import NET, write


@pytest.mark.parametrize("settings", [{}, {"display": 0}, {"iter_size": 2}], ids=["displayed", "tests only", "in two"])
def test_the_sizes_of_debug_info_are_caffes(caffe: Path, tmp_path: Path, settings: dict) -> None:
    """Caffe adds the absolute values in float32, so a few last digits differ."""
    write(tmp_path, {"debug_info": "true", "max_iter": 10, "base_lr": 0.01} | settings)
    right = engine_runs.real(caffe, tmp_path, "train", "--solver=solver.prototxt")
    found = engine_runs.ours(tmp_path, "train", "--solver=solver.prototxt")
    assert (found.code, right.code) == (0, 0), found.log[-2000:] + right.log[-2000:]
    lines = len(found.lines("[Forward]", "[Backward]"))
    assert lines > 100
    assert engine_runs.same(found, right, last_digits=lines // 20) < lines // 20


def test_debug_info_of_a_net_holds_where_there_is_no_solver(caffe: Path, tmp_path: Path) -> None:
    write(tmp_path, {"max_iter": 1, "snapshot": 1}, net=NET + "debug_info: true")
    engine_runs.real(caffe, tmp_path, "train", "--solver=solver.prototxt")
    arguments = ("test", "--model=net.prototxt", "--weights=out_iter_1.caffemodel", "--iterations=2")
    right, found = engine_runs.real(caffe, tmp_path, *arguments), engine_runs.ours(tmp_path, *arguments)
    assert (found.code, right.code) == (0, 0), found.log[-2000:] + right.log[-2000:]
    engine_runs.same(found, right)
    assert found.lines("[Forward]")
    assert not found.lines("[Backward]")
