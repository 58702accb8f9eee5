"""What the tests of the pipeline share: a sample of real Tiny-ImageNet, and a web server on this machine."""

import zipfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from file_server import FileServer


@pytest.fixture(scope="session")
def tiny_zip(checkout: Path) -> Path:
    """20 classes of Tiny-ImageNet in its own layout, below one top folder; 60 training images a class, 10 for val."""
    sample = checkout.parent / "shared" / "data" / "tiny-imagenet-sample.zip"
    assert sample.is_file(), f"the sample of Tiny-ImageNet is needed: {sample}"
    return sample


@pytest.fixture(scope="session")
def tiny_sample(tiny_zip: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of that sample, unpacked: train/, val/, wnids.txt, words.txt."""
    folder = tmp_path_factory.mktemp("tiny")
    with zipfile.ZipFile(tiny_zip) as archive:
        archive.extractall(folder)
    return folder / "tiny-imagenet-sample"


@pytest.fixture
def server() -> Iterator[FileServer]:
    server = FileServer()
    yield server
    server.close()
