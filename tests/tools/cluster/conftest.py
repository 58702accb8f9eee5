"""A scheduler in memory for the orders of a test, and runs that are left to do."""

import pytest

from tests.helpers.memory_scheduler import Scheduler
from tools.cluster.order import Order
from tools.protocol.experiment import Experiment
from tools.protocol.layout import Run
from tools.protocol.runs import runs_of


@pytest.fixture
def scheduler(monkeypatch: pytest.MonkeyPatch) -> Scheduler:
    found = Scheduler()
    monkeypatch.setattr(Order, "executor", found)
    return found


@pytest.fixture
def missing(trained: Experiment) -> list[Run]:
    """The last two runs of the project, whose manifests were moved to another name."""
    runs = runs_of(trained, "caffe")[-2:]
    for run in runs:
        run.manifest.rename(run.folder / "kept.json")
    return runs
