"""Real JPEG files, and a way to ask real pycaffe."""

import subprocess
from collections.abc import Callable
from pathlib import Path

import cv2
import matplotlib.cbook
import pytest

Ask = Callable[..., str]


@pytest.fixture(scope="session")
def ask_pycaffe(pycaffe: Path) -> Ask:
    """Run a Python program in pycaffe's interpreter with these arguments; give what it printed."""

    def ask(program: str, *arguments: str | Path) -> str:
        command = [str(pycaffe), "-c", program, *map(str, arguments)]
        done = subprocess.run(command, capture_output=True, text=True)
        assert done.returncode == 0, done.stderr
        return done.stdout

    return ask


@pytest.fixture(scope="session")
def jpegs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of 24 JPEGs, 64x64, the last four grayscale: pieces of the photograph that matplotlib brings."""
    folder = tmp_path_factory.mktemp("jpegs")
    with matplotlib.cbook.get_sample_data("grace_hopper.jpg", asfileobj=True) as file:
        photograph = cv2.imread(file.name)
    for i in range(24):
        top, left = 64 * (i // 6), 64 * (i % 6)
        piece = photograph[top : top + 64, left : left + 64]
        cv2.imwrite(str(folder / f"piece_{i:02d}.JPEG"), piece if i < 20 else cv2.cvtColor(piece, cv2.COLOR_BGR2GRAY))
    return folder
