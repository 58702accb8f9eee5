"""Fixtures of all tests: the checkout, real BVLC Caffe with its pycaffe, and a small Tiny-ImageNet."""

import os
import shutil
import zipfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import settings

from tests.helpers.made_once import made_once
from tests.helpers.real_caffe import RealCaffe
from tests.helpers.tiny_imagenet_zip import write_photograph_zip

CHECKOUT = Path(__file__).resolve().parents[1]

# The same examples in every call, so that what passes once passes again; new ones with --hypothesis-profile=random.
settings.register_profile("fixed", derandomize=True, deadline=None)
settings.register_profile("random", deadline=None)
settings.load_profile("fixed")


@pytest.fixture(scope="session")
def checkout() -> Path:
    return CHECKOUT


@pytest.fixture(scope="session")
def caffe() -> Path:
    """The executable of real BVLC Caffe: $CAFFE, else the one that `make caffe` installed."""
    executable = shutil.which(os.environ.get("CAFFE", str(CHECKOUT / ".caffe" / "caffe")))
    assert executable, "real Caffe is needed: run `make caffe`, or set CAFFE"
    return Path(executable)


@pytest.fixture(scope="session")
def caffe_tools(caffe: Path) -> Path:
    """The folder of convert_imageset, compute_image_mean and Caffe's other tools."""
    return caffe.parent


@pytest.fixture(scope="session")
def pycaffe(caffe: Path) -> Path:
    """The interpreter in which `import caffe` is real pycaffe."""
    interpreter = caffe.parent / "pycaffe"
    assert interpreter.exists(), f"{interpreter} is needed: run `make caffe`"
    return interpreter


@pytest.fixture(scope="session")
def real_caffe(pycaffe: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[RealCaffe]:
    """One pycaffe process for the whole session."""
    caffe = RealCaffe(pycaffe, tmp_path_factory.mktemp("real_caffe"))
    yield caffe
    caffe.close()


@pytest.fixture(scope="session")
def tiny_zip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """20 classes in Tiny-ImageNet's own layout, below one top folder: 60 training images a class, 10 to validate.

    Pieces of a photograph; TINY_IMAGENET_SAMPLE=/path/to/zip names an archive of real ones to be used instead.
    """
    if sample := os.environ.get("TINY_IMAGENET_SAMPLE"):
        assert Path(sample).is_file(), f"TINY_IMAGENET_SAMPLE: {sample} is not there"
        return Path(sample).absolute()
    return write_photograph_zip(tmp_path_factory.mktemp("zip") / "sample.zip")


@pytest.fixture(scope="session")
def tiny_sample(tiny_zip: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of that sample, unpacked: train/, val/, wnids.txt, words.txt."""

    def unpack(folder: Path) -> None:
        with zipfile.ZipFile(tiny_zip) as archive:
            archive.extractall(folder)

    (top,) = made_once(tmp_path_factory, "tiny", unpack).iterdir()
    return top
