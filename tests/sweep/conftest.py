"""Whole sweeps on small data: a project root for each test, and `python -m tools` as a user calls it."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.helpers.made_once import made_once

SMALL = """\
dataset: tiny-imagenet
path: {images}
image_size: 64
full_size: 60
sizes: [60, 10]
conditions: [base, S2T]
model: mini
solver: mini
crop_size: 29
train_batch_size: 20
test_batch_size: 50
max_iter: 10
display: 2
"""


class Tools:
    """`tools(verb, ...)` runs a verb in the current folder and returns its output."""

    def __init__(self, environment: dict[str, str]) -> None:
        self.environment = environment

    def __call__(self, *arguments: str | Path, status: int = 0, folder: Path | None = None) -> str:
        command = [sys.executable, "-m", "tools", *map(str, arguments)]
        result = subprocess.run(command, env=self.environment, cwd=folder, capture_output=True, text=True)
        output = result.stdout + result.stderr
        assert result.returncode == status, f"exit {result.returncode}: {' '.join(command)}\n{output}"
        return output


@pytest.fixture(scope="session")
def tools(caffe, checkout) -> Tools:
    own = {"CAFFE": str(caffe), "PYTHONPATH": str(checkout), "GPUS": "", "OPENBLAS_NUM_THREADS": "1"}
    return Tools(os.environ | own)


@pytest.fixture
def root(tmp_path, monkeypatch, tools) -> Tools:
    """An empty project root, the current folder; `root(verb, ...)` runs a verb there and returns its output."""
    monkeypatch.chdir(tmp_path)
    return Tools(dict(tools.environment))


@pytest.fixture
def small(tmp_path, tiny_sample) -> Path:
    """An experiment on 20 classes in Tiny-ImageNet's layout. A run takes a second."""
    return write_small(tmp_path, tiny_sample)


def write_small(folder: Path, images: Path) -> Path:
    file = folder / "small.yaml"
    file.write_text(SMALL.format(images=images))
    return file


@pytest.fixture(scope="session")
def packed_once(tmp_path_factory, tools, tiny_sample) -> Path:
    """A project with the small experiment's data packed and nothing trained."""

    def pack(folder: Path) -> None:
        write_small(folder, tiny_sample)
        for verb in ("fetch", "split", "pack", "mean"):
            tools(verb, "small.yaml", folder=folder)

    return made_once(tmp_path_factory, "packed", pack)


@pytest.fixture(scope="session")
def swept_once(tmp_path_factory, tools, tiny_sample) -> Path:
    """A project in which the small experiment was swept, from images to figures."""

    def sweep(folder: Path) -> None:
        write_small(folder, tiny_sample)
        tools("sweep", "small.yaml", folder=folder)

    return made_once(tmp_path_factory, "swept", sweep)


@pytest.fixture
def packed(root, small, packed_once) -> Tools:
    """`root` as a copy of `packed_once`."""
    shutil.copytree(packed_once, ".", dirs_exist_ok=True)
    return root


@pytest.fixture
def swept(root, small, swept_once) -> Tools:
    """`root` as a copy of `swept_once`."""
    shutil.copytree(swept_once, ".", dirs_exist_ok=True)
    return root
