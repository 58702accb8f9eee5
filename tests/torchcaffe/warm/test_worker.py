"""A worker is what a cold start would be."""

import os
import signal
from pathlib import Path
from typing import Any

import pytest

from tests.helpers.warm_calls import ENVIRONMENT, is_warm, make_warm, report
from torchcaffe.warm.owner import VARIABLE

pytestmark = pytest.mark.usefixtures("cold")


def same(**more: Any) -> dict[str, Any]:
    """A call starts warm, and is then what it is when it starts cold. Returns what it is."""
    make_warm()
    environment = more.pop("env", ENVIRONMENT)
    warm = report(env=environment, **more)
    assert is_warm(warm)
    cold = report(env=environment | {VARIABLE: "0"}, **more)
    assert cold["parent"] == os.getpid()
    extra = set(warm["files"]) - set(cold["files"])
    assert [warm["files"].pop(number).partition(":")[0] for number in extra] == ["pipe"]  # its tie to the caller
    for state in (cold, warm):
        for name in ("process", "parent"):
            del state[name]
        del state["environment"][VARIABLE]
        for number in ("1", "2"):
            del state["files"][number]  # pipes of this very call
    assert warm == cold
    return warm


def test_arguments_folder_environment_and_files_are_the_callers(tmp_path: Path) -> None:
    folder = tmp_path / "a folder \udcff"
    folder.mkdir()
    (folder / "input").write_text("the input")
    odd = {"TZ": "UTC-5", "GLOG_\udcfe": "a\nb \udcff", "TOOLS_EMPTY": ""}
    with open(folder / "other", "w") as other:
        os.dup2(other.fileno(), 77)
    try:
        state = same(cwd=folder, env=ENVIRONMENT | odd, pass_fds=[77], input_file=folder / "input")
    finally:
        os.close(77)
    assert state["folder"] == str(folder) and state["files"]["77"] == str(folder / "other")
    assert state["input"] == "the input" and odd.items() <= state["environment"].items()


def test_ignored_and_blocked_signals_are_the_callers() -> None:
    def before_start() -> None:
        for number in (signal.SIGHUP, signal.SIGTTOU, signal.SIGTERM):
            signal.signal(number, signal.SIG_IGN)
        signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGUSR2, signal.SIGALRM])

    state = same(preexec_fn=before_start)
    assert int(state["status"]["SigIgn"], 16) >> (signal.SIGHUP - 1) & 1
    assert int(state["status"]["SigBlk"], 16) >> (signal.SIGALRM - 1) & 1
