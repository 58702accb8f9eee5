"""Whole graphs on small real data: a root of one's own, and `python -m tools` as a user calls it."""

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
        done = subprocess.run(command, env=environment, capture_output=True, text=True)
        said = done.stdout + done.stderr
        assert done.returncode == status, f"exit {done.returncode}: {' '.join(command)}\n{said}"
        return said

    call.environment = environment
    return call


@pytest.fixture
def small(checkout, tmp_path, tiny_sample) -> Path:
    """An experiment on 20 classes of Tiny-ImageNet's own JPEGs, in its own layout: seconds a run."""
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
    """`root` with the small experiment's data done, and no net."""
    for verb in ("fetch", "split", "pack", "mean"):
        root(verb, small)
    return root


@pytest.fixture(scope="module")
def kept(tmp_path_factory) -> Path:
    return tmp_path_factory.mktemp("kept")


@pytest.fixture
def sweep_once(root, small, kept):
    """`sweep_once(overrides)`: the small experiment swept in the current folder; a module sweeps, then it copies."""

    def sweep(overrides: str) -> None:
        if (kept / "models").exists():
            shutil.copytree(kept, ".", dirs_exist_ok=True)
            return
        root("sweep", small, "--set", overrides)
        for part in ("data", "models", "results"):
            shutil.copytree(part, kept / part)

    return sweep
