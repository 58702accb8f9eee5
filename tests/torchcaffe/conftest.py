"""What the tests of torchcaffe share: the figures of parity, data for small runs."""

from pathlib import Path

import pytest

from tests.helpers import engine_runs
from tests.helpers.both_engines import figures
from tests.helpers.small_net import NET

__all__ = ["figures"]


@pytest.fixture(scope="session")
def small_data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with what `small.experiment` needs."""
    folder = tmp_path_factory.mktemp("small_data")
    engine_runs.make_data(folder)
    (folder / "net.prototxt").write_text(NET)
    return folder
