"""A warm start gives the same results as a cold one: logs, nets, solverstates, byte by byte."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.helpers import engine_runs
from tests.helpers.warm_calls import ENVIRONMENT, this_owner, wait_for, warm_parent
from torchcaffe.warm.owner import VARIABLE

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("cold")]

TORCHCAFFE = [sys.executable, "-P", "-m", "torchcaffe"]
TRAIN = ("train", "--solver=solver.prototxt")
TEST = ("test", "--model=net.prototxt", "--weights=out_iter_20.caffemodel", "--iterations=4")


def experiment(folder: Path) -> Path:
    folder.mkdir()
    engine_runs.make_experiment(folder, engine_runs.slim_alexnet(xavier=True))
    return folder


def started(folder: Path, *arguments: str, threads: int, **more: str) -> "subprocess.Popen[str]":
    count = str(threads)
    environment = ENVIRONMENT | {"OMP_NUM_THREADS": count, "OPENBLAS_NUM_THREADS": count} | more
    return subprocess.Popen([*TORCHCAFFE, *arguments], cwd=folder, env=environment, stderr=subprocess.PIPE, text=True)


def ended(process: "subprocess.Popen[str]", warm: bool) -> list[str]:
    """The lines of the log, which has the worker's process id where the start was warm."""
    _, log = process.communicate(timeout=300)
    assert process.returncode == 0, log[-2000:]
    (process_id,) = set(re.findall(r"^I\d{4} \S+ +(\d+) (?:caffe|net)\.cpp", log, re.MULTILINE))
    assert (int(process_id) != process.pid) == warm
    return engine_runs.Run(0, log).lines()


def written(folder: Path) -> dict[str, bytes]:
    files = {file.name: file.read_bytes() for file in sorted(folder.glob("out_*"))}
    assert len(files) == 6, "two snapshots"
    return files


@pytest.mark.parametrize("threads", [1, 2])
def test_warm_and_cold_are_equal_byte_by_byte_also_with_several_callers_at_once(threads: int, tmp_path: Path) -> None:
    folder = experiment(tmp_path / "cold")
    logs = [
        ended(started(folder, *command, threads=threads, **{VARIABLE: "0"}), warm=False) for command in (TRAIN, TEST)
    ]
    first = experiment(tmp_path / "first")
    assert ended(started(first, *TRAIN, threads=threads), warm=False) == logs[0]
    wait_for(lambda: warm_parent(this_owner()))
    others = [experiment(tmp_path / f"warm{number}") for number in range(2)]
    for command, log in zip((TRAIN, TEST), logs, strict=True):
        processes = [started(other, *command, threads=threads) for other in others]
        assert [ended(process, warm=True) for process in processes] == [log, log]
    for other in (first, *others):
        assert written(other) == written(folder)


def test_a_worker_has_the_callers_number_of_threads_or_starts_cold(tmp_path: Path) -> None:
    folder = experiment(tmp_path / "experiment")
    ended(started(folder, *TRAIN, threads=1), warm=False)
    wait_for(lambda: warm_parent(this_owner()))
    ended(started(folder, *TEST, threads=2), warm=False)
    ended(started(folder, *TEST, threads=1), warm=True)


def test_errors_and_exit_codes_are_the_same(tmp_path: Path) -> None:
    folder = experiment(tmp_path / "experiment")
    ended(started(folder, *TRAIN, threads=1), warm=False)
    wait_for(lambda: warm_parent(this_owner()))
    for arguments in (("train", "--solver=none.prototxt"), ("train", "--solvr=x"), ("test",), ("time", "train")):
        results = []
        for value in (ENVIRONMENT[VARIABLE], "0"):
            process = started(folder, *arguments, threads=1, **{VARIABLE: value})
            _, log = process.communicate()
            results.append((process.returncode, engine_runs.Run(0, log).lines()))
        assert results[0] == results[1], arguments
    assert os.listdir(f"/proc/{warm_parent(this_owner())}/task") == [str(warm_parent(this_owner()))]
