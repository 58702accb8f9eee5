"""Fixtures of the tests of verify."""

from collections.abc import Callable

import pytest

from tools.protocol.experiment import Experiment
from tools.training.engine import Engine
from tools.verification.commands import Commands
from tools.verification.findings import Findings
from tools.verification.walk import walk


@pytest.fixture
def commands(trained: Experiment) -> Commands:
    """Of the trained project, in the current folder."""
    return Commands(trained, "caffe", "python")


@pytest.fixture
def look(commands: Commands, engine: Engine) -> Callable[..., Findings]:
    """`look()` walks over the project in the current folder, `look(fast=True)` without its large files."""

    def look(fast: bool = False) -> Findings:
        return walk(commands, engine, fast)

    return look
