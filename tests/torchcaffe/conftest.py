"""What the tests of torchcaffe share: real pycaffe to ask, data for small runs."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.helpers import engine_runs
from tests.helpers.both_engines import figures
from tests.helpers.real_caffe import RealCaffe
from tests.helpers.small_net import NET

__all__ = ["figures", "real_caffe"]


@pytest.fixture(scope="session")
def real_caffe(pycaffe: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[RealCaffe]:
    """One pycaffe for the whole session."""
    caffe = RealCaffe(pycaffe, tmp_path_factory.mktemp("real_caffe"))
    yield caffe
    caffe.close()


@pytest.fixture(scope="session")
def small_data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with what `small.experiment` needs."""
    folder = tmp_path_factory.mktemp("small_data")
    engine_runs.make_data(folder)
    (folder / "net.prototxt").write_text(NET)
    return folder
