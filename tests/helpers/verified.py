"""Runs the commands that `verify` prints."""

import os
import subprocess
import sys
from pathlib import Path

from tools.common.checkout import CHECKOUT


def run_command(command: str) -> None:
    """Runs it in a shell; `python` is the interpreter of the tests. Raises AssertionError with its output."""
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    environment = os.environ | {"PATH": path, "PYTHONPATH": str(CHECKOUT)}
    result = subprocess.run(command, shell=True, env=environment, capture_output=True, text=True)
    assert result.returncode == 0, f"{command}\n{result.stdout}{result.stderr}"
