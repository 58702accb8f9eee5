"""The caller ends as its worker does, forwards signals, and takes the worker with it when it is killed."""

import os
import signal
import time
from pathlib import Path

import pytest

from tests.helpers.warm_calls import is_alive, ready, report, started, wait_for


@pytest.mark.usefixtures("warm")
@pytest.mark.parametrize("code", [0, 1, 134, 255])
def test_an_exit_code_is_the_workers(code: int) -> None:
    report(code)


@pytest.mark.usefixtures("warm")
@pytest.mark.parametrize("name", ["SIGKILL", "SIGTERM", "SIGINT", "SIGSEGV", "SIGABRT", "SIGPIPE", "SIGHUP"])
def test_a_signal_that_ends_the_worker_ends_the_caller(name: str) -> None:
    number = signal.Signals[name]
    process = started("end", int(number))
    assert process.communicate(timeout=60) == ("", "")
    assert process.returncode == -number


@pytest.mark.usefixtures("warm")
def test_signals_reach_the_worker_once_each() -> None:
    process = started("heed")
    worker = ready(process)
    assert worker != process.pid and process.stdout
    for name in ("SIGHUP", "SIGINT", "SIGTERM", "SIGUSR1", "SIGCONT"):
        process.send_signal(signal.Signals[name])
        assert process.stdout.readline() == f"{name}\n"
    process.send_signal(signal.SIGUSR2)
    assert process.communicate(timeout=60) == ("SIGUSR2\n", "")
    assert process.returncode == 7


def state_of(process: int) -> str:
    return Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[0]


@pytest.mark.usefixtures("warm")
def test_ctrl_z_stops_both_until_they_are_continued(tmp_path: Path) -> None:
    file = tmp_path / "count"
    process = started("count", file)
    worker = ready(process)
    for _ in range(3):
        process.send_signal(signal.SIGTSTP)
        wait_for(lambda: state_of(worker) == state_of(process.pid) == "T")
        before = file.read_text()
        time.sleep(0.05)
        assert file.read_text() == before
        process.send_signal(signal.SIGCONT)
        wait_for(lambda before=before: file.read_text() not in (before, ""))  # type: ignore[misc]
    process.kill()
    process.communicate()


@pytest.mark.usefixtures("warm")
def test_a_killed_caller_takes_the_worker_with_it_before_its_own_parent_knows(tmp_path: Path) -> None:
    for number in (signal.SIGKILL, signal.SIGABRT, signal.SIGKILL):
        process = started("count", tmp_path / "count")
        worker = ready(process)
        process.send_signal(number)
        process.wait(60)
        content = (tmp_path / "count").read_text()
        wait_for(lambda worker=worker: not is_alive(worker))  # type: ignore[misc]
        assert (tmp_path / "count").read_text() == content


def test_a_caller_dies_with_a_killed_warm_parent_and_says_so(warm: int, tmp_path: Path) -> None:
    process = started("count", tmp_path / "count")
    worker = ready(process)
    os.kill(warm, signal.SIGKILL)
    _, error = process.communicate(timeout=60)
    assert "the process that kept PyTorch loaded has ended, and this run with it" in error
    assert process.returncode == -signal.SIGKILL
    wait_for(lambda: not is_alive(worker))


@pytest.mark.slow
def test_a_stopped_warm_parent_does_not_hold_up_a_call_for_long(warm: int) -> None:
    os.kill(warm, signal.SIGSTOP)
    began = time.monotonic()
    assert report()["parent"] == os.getpid()
    assert 4 < time.monotonic() - began < 30
    os.kill(warm, signal.SIGCONT)
    wait_for(lambda: report()["parent"] == warm)
