"""benchmarks/on_gpu.sh without a GPU: what it refuses, and what it says of parts that did not get done."""

import os
import subprocess
import sys
from pathlib import Path

import pytest


def on_gpu(checkout: Path, *arguments: object, **environment: str) -> "subprocess.CompletedProcess[str]":
    command = ["sh", str(checkout / "benchmarks" / "on_gpu.sh"), *map(str, arguments)]
    given = os.environ | {"PYTHON": sys.executable, "OMP_NUM_THREADS": "1"} | environment
    return subprocess.run(command, capture_output=True, text=True, env=given)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((), "unknown: no argument"),
        (("--gpu",), "unknown: --gpu"),
        (("folder",), "two folders are needed"),
        (("--cpu", "folder"), "--cpu takes two folders"),
        (("prepare",), "prepare takes one or two folders"),
    ],
)
def test_other_arguments_are_refused(checkout: Path, arguments: tuple[str, ...], message: str) -> None:
    done = on_gpu(checkout, *arguments)
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.startswith(f"on_gpu: error: {message}\n  benchmarks/on_gpu.sh prepare FOLDER")


def test_a_folder_that_was_not_prepared_and_an_out_that_is_not_empty_are_refused(
    checkout: Path, tmp_path: Path
) -> None:
    done = on_gpu(checkout, "--cpu", tmp_path, tmp_path / "out")
    assert done.returncode == 1 and "no folder wheels/ in it" in done.stderr
    (tmp_path / "wheels").mkdir()
    done = on_gpu(checkout, "--cpu", tmp_path, tmp_path)
    assert done.returncode == 1 and f"{tmp_path} is not empty" in done.stderr


@pytest.mark.slow
def test_a_part_without_time_is_named_and_the_rest_is_there(checkout: Path, tmp_path: Path) -> None:
    (tmp_path / "wheels").mkdir()
    done = on_gpu(checkout, "--cpu", tmp_path, tmp_path / "out", SECONDS_LEFT="25")
    assert done.returncode == 1
    parts = ["gpu-tests.txt", "bench-gpu.txt", *(f"demo-per-gpu-{n}.txt" for n in (1, 2, 4)), "tiny.txt"]
    assert f"error: these parts failed, and their files say why: {' '.join(parts)}\n" in done.stderr
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == sorted(
        [*parts, "environment.txt", "results.tar.gz"]
    )
    assert (tmp_path / "out" / "tiny.txt").read_text() == "on_gpu: no time left\n"
    assert "torch" not in (tmp_path / "out" / "gpu-tests.txt").read_text()
    assert sys.version.split()[0] in (tmp_path / "out" / "environment.txt").read_text()
