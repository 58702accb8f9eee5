"""Whole sweeps on small data: a project root for each test, and `python -m tools` as a user calls it."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest


@pytest.fixture
def root(tmp_path, monkeypatch, caffe, checkout):
    """An empty project root, the current folder; `root(verb, ...)` runs a verb there and returns its output."""
    monkeypatch.chdir(tmp_path)
    environment = os.environ | {
        "CAFFE": str(caffe),
        "PYTHONPATH": str(checkout),
        "GPUS": "",
        "OPENBLAS_NUM_THREADS": "1",
    }

    def call(*arguments: str | Path, status: int = 0) -> str:
        command = [sys.executable, "-m", "tools", *map(str, arguments)]
        result = subprocess.run(command, env=environment, capture_output=True, text=True)
        output = result.stdout + result.stderr
        assert result.returncode == status, f"exit {result.returncode}: {' '.join(command)}\n{output}"
        return output

    call.environment = environment
    return call


@pytest.fixture
def small(checkout, tmp_path, tiny_sample) -> Path:
    """An experiment on 20 classes in Tiny-ImageNet's layout. A run takes seconds."""
    file = tmp_path / "small.yaml"
    file.write_text(f"""\
dataset: tiny-imagenet
path: {tiny_sample}
image_size: 64
full_size: 60
sizes: [60, 10]
conditions: [base, S2T]
model: mini
solver: mini
crop_size: 57
train_batch_size: 20
test_batch_size: 50
max_iter: 10
display: 2
""")
    return file


@pytest.fixture
def packed(root, small):
    """`root` with the small experiment's data packed and nothing trained."""
    for verb in ("fetch", "split", "pack", "mean"):
        root(verb, small)
    return root


@pytest.fixture(scope="module")
def first_sweep(tmp_path_factory) -> Path:
    """Where the first sweep of a module is kept for its other tests."""
    return tmp_path_factory.mktemp("first_sweep")


@pytest.fixture
def sweep_once(root, small, first_sweep):
    """`sweep_once(overrides)` sweeps the small experiment in the current folder. A module sweeps once, then copies."""

    def sweep(overrides: str) -> None:
        if (first_sweep / "models").exists():
            shutil.copytree(first_sweep, ".", dirs_exist_ok=True)
            return
        root("sweep", small, "--set", overrides)
        for part in ("data", "models", "results"):
            shutil.copytree(part, first_sweep / part)

    return sweep
