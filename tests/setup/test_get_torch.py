"""setup/get_torch.sh: which build of PyTorch a machine gets. Small wheels of that name stand in for it."""

import subprocess
import sys
from pathlib import Path

import pytest

from tests.helpers.shell_scripts import before_path, run, stand_in, wheel

pytestmark = pytest.mark.slow

CPU, CUDA = "2.13.0+cpu", "2.13.0"


@pytest.fixture
def venv(tmp_path: Path) -> Path:
    subprocess.run([sys.executable, "-m", "venv", tmp_path / "venv"], check=True)
    return tmp_path / "venv"


def get_torch(checkout: Path, venv: Path, *builds: str, gpu: bool = False, **settings: object):
    wheels, programs = venv.parent / "wheels", venv.parent / "programs"
    wheels.mkdir(exist_ok=True)
    for version in builds:
        wheel(wheels, "torch", version)
    stand_in(programs, "nvidia-smi", "echo 'GPU 0: NVIDIA H100 (UUID: ...)'" if gpu else "exit 9")
    settings |= {"PIP_NO_INDEX": 1, "PIP_FIND_LINKS": wheels, "PATH": before_path(programs)}
    return run("sh", checkout / "setup" / "get_torch.sh", venv / "bin" / "python", **settings)


def version(venv: Path) -> str:
    return run(venv / "bin" / "python", "-c", "import torch; print(torch.VERSION)").stdout.strip()


def test_without_a_gpu_it_takes_the_build_for_the_cpu(checkout: Path, venv: Path) -> None:
    done = get_torch(checkout, venv, CPU, CUDA)
    assert done.returncode == 0, done.stderr
    assert version(venv) == CPU
    assert "no NVIDIA GPU" in done.stdout


def test_where_pip_finds_none_for_the_cpu_it_says_so_and_takes_the_other(checkout: Path, venv: Path) -> None:
    done = get_torch(checkout, venv, CUDA)
    assert done.returncode == 0, done.stderr
    assert version(venv) == CUDA
    assert "PIP_EXTRA_INDEX_URL" in done.stdout


def test_with_a_gpu_it_asks_for_the_build_for_cuda(checkout: Path, venv: Path) -> None:
    done = get_torch(checkout, venv, CUDA, gpu=True)
    assert done.returncode == 0, done.stderr
    assert version(venv) == CUDA


def test_torch_names_another_and_unless_it_does_what_is_there_stays(checkout: Path, venv: Path) -> None:
    assert get_torch(checkout, venv, "2.9.1", CUDA, TORCH="torch==2.9.1").returncode == 0
    assert get_torch(checkout, venv, CUDA).returncode == 0
    assert version(venv) == "2.9.1"
    assert get_torch(checkout, venv, "2.10.0", TORCH="torch==2.10.0").returncode == 0
    assert version(venv) == "2.10.0"


def test_a_version_that_is_nowhere_is_one_error(checkout: Path, venv: Path) -> None:
    done = get_torch(checkout, venv, TORCH="torch==9.9")
    assert done.returncode == 1
    assert "get_torch: error: pip could not install torch==9.9" in done.stderr
