"""Data sets on disk that more than one module is tested with."""

import os
import shutil
from pathlib import Path

import pytest

from tests.helpers.pictures import save


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    root = tmp_path / "mine"
    save(root / "train/cat/2.PNG")
    save(root / "train/cat/1 one.jpg")
    save(root / "train/cat/deeper/3.bmp")
    save(root / "train/dog house/1.jpeg")
    save(root / "val/cat/1.tif")
    save(root / "val/dog house/1.webp")
    return root


@pytest.fixture
def tiny(tiny_sample: Path, tmp_path: Path) -> Path:
    """A copy to spoil: its images are links, its lists are its own."""

    def copy(source: str, target: str) -> None:
        (os.link if source.endswith(".JPEG") else shutil.copyfile)(source, target)

    return shutil.copytree(tiny_sample, tmp_path / "tiny", copy_function=copy)
