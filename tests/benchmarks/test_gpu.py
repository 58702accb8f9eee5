"""benchmarks/gpu.py on the CPU, as small as it can be: it runs up to the GPU, and counts arithmetic as it should."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from benchmarks.cases import Case, write_net
from benchmarks.flops import training_flops_per_image

pytestmark = pytest.mark.slow

TINY = ("--batch", "1", "--images", "4", "--window", "1", "--windows", "2", "--gemm", "64", "--workers", "0")


def run(checkout: Path, *arguments: str, **environment: str) -> "subprocess.CompletedProcess[str]":
    command = [sys.executable, str(checkout / "benchmarks" / "gpu.py"), *arguments]
    given = {name: value for name, value in os.environ.items() if name != "CAFFE"} | {"OMP_NUM_THREADS": "1"}
    return subprocess.run(command, capture_output=True, text=True, env=given | environment)


def test_it_measures_each_engine(checkout: Path, caffe: Path) -> None:
    chosen = ("--cpu", "--conditions", "S7T", "--precisions", "fp32")
    done = run(checkout, *chosen, *TINY, CAFFE=str(caffe))
    assert done.returncode == 0, done.stderr[-2000:]
    row = re.compile(r"\| S7T \| fp32 \| ([\w ]+) \| ([\d.]+) \([\d.]+-[\d.]+\) \| \d+% \| - \| ([\d.]+) s \|")
    rows = [match.groups() for match in map(row.fullmatch, done.stdout.splitlines()) if match]
    assert [engine for engine, *_ in rows] == ["torchcaffe", "plain loop", "BVLC Caffe"]
    for _, milliseconds, seconds in rows:
        assert float(seconds) == pytest.approx(float(milliseconds) * 10, abs=0.1)
        assert float(milliseconds) > 0


def test_the_arithmetic_of_a_step_is_what_was_counted_by_hand(tmp_path: Path) -> None:
    """Millions an image with 100 classes: findings of the layers' shapes, base, three and seven layers frozen."""
    for condition, millions in {"base": 303.3, "S3T": 205.3, "S7T": 105.3}.items():
        net = write_net(Case("alexnet", condition, 1), tmp_path)
        assert training_flops_per_image(net, channels=3) / 1e6 == pytest.approx(millions, abs=0.1)


def test_a_mistake_is_told_in_one_line(checkout: Path) -> None:
    wrong = {
        ("--cpu", "--conditions", "S9X", *TINY): "error: no condition is called S9X; there are base and S1T to S7T"
    }
    if not torch.cuda.is_available():
        wrong[TINY] = "error: PyTorch sees no GPU 0; --cpu shows that the benchmark runs"
    for arguments, message in wrong.items():
        done = run(checkout, *arguments)
        assert (done.returncode, done.stderr) == (1, f"{message}\n")
