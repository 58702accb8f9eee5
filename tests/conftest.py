"""What every test stands on: the checkout, and real BVLC Caffe with its pycaffe."""

import os
import shutil
from pathlib import Path

import pytest

CHECKOUT = Path(__file__).resolve().parents[1]


@pytest.fixture(scope="session")
def checkout() -> Path:
    return CHECKOUT


@pytest.fixture(scope="session")
def caffe() -> Path:
    """The executable of real BVLC Caffe: $CAFFE, else the one that `make caffe` brought."""
    found = shutil.which(os.environ.get("CAFFE", str(CHECKOUT / ".caffe" / "caffe")))
    assert found, "real Caffe is needed: run `make caffe`, or set CAFFE"
    return Path(found)


@pytest.fixture(scope="session")
def caffe_tools(caffe: Path) -> Path:
    """The folder of convert_imageset, compute_image_mean and their like."""
    return caffe.parent


@pytest.fixture(scope="session")
def pycaffe(caffe: Path) -> Path:
    """The interpreter in which `import caffe` is real pycaffe."""
    found = caffe.parent / "pycaffe"
    assert found.exists(), f"{found} is needed: run `make caffe`"
    return found
