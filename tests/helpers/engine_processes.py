"""Both engines as processes of their own, which a test can send signals and read line by line."""

import os
import signal
import subprocess
import sys
from pathlib import Path

from tests.helpers import engine_runs


def started(command: list[str], folder: Path, words: str) -> "subprocess.Popen[str]":
    """A process of its own, once there is a line with `words` in its log."""
    environment = {
        **os.environ,
        "PYTHONPATH": str(engine_runs.CHECKOUT),
        "OMP_NUM_THREADS": "1",
        "OPENBLAS_NUM_THREADS": "1",
    }
    process = subprocess.Popen(
        command, cwd=folder, stderr=subprocess.PIPE, text=True, env=environment, preexec_fn=_heed_signals
    )
    wait_for(process, words)
    return process


def _heed_signals() -> None:
    """Undoes what a shell sets for commands in the background (SIGINT, SIGQUIT ignored) and nohup for all (SIGHUP)."""
    for number in (signal.SIGINT, signal.SIGQUIT, signal.SIGHUP):
        signal.signal(number, signal.SIG_DFL)


def wait_for(process: "subprocess.Popen[str]", words: str) -> None:
    """Reads the log up to a line with `words` in it."""
    assert any(words in line for line in process.stderr), f"the log ended without {words!r}"


def engines(caffe: Path) -> dict[str, list[str]]:
    return {"caffe": [str(caffe)], "torchcaffe": [sys.executable, "-m", "torchcaffe"]}
