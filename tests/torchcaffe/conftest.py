"""What the tests of torchcaffe share: real pycaffe to ask."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from parity import figures
from real_caffe import RealCaffe

__all__ = ["figures", "real_caffe"]


@pytest.fixture(scope="session")
def real_caffe(pycaffe: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[RealCaffe]:
    """One pycaffe for the whole session."""
    caffe = RealCaffe(pycaffe, tmp_path_factory.mktemp("real_caffe"))
    yield caffe
    caffe.close()
