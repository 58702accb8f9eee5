"""A virtual environment with one wheel and what it requires, made without a download.

The requirements are links to the packages of the environment in which the tests run, for PyTorch is large. Packages
that the wheel does not require are not linked, so a requirement that the wheel's metadata forgets is missing here.
"""

import os
import subprocess
import sys
import venv
from importlib.metadata import Distribution, distribution
from pathlib import Path

from packaging.requirements import Requirement


def pip(*arguments: object) -> str:
    """What the pip of this environment prints. Raises AssertionError, with pip's words, if it fails."""
    command = [sys.executable, "-m", "pip", "--no-input", "--disable-pip-version-check", *map(str, arguments)]
    result = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    assert result.returncode == 0, result.stdout
    return result.stdout


class WheelVenv:
    """The environment at `root`, with `wheel` installed in it, and its requirements except those in `without`."""

    def __init__(self, root: Path, wheel: Path, without: frozenset[str] = frozenset()) -> None:
        self.root = root
        venv.create(root, symlinks=True, with_pip=False)
        self.python = root / "bin" / "python"
        pip("--python", self.python, "install", "-q", "--no-index", "--no-deps", wheel)
        self.packages = next(root.glob("lib/python3*/site-packages"))
        (about,) = self.packages.glob("*.dist-info")
        for required in _closure(Distribution.at(about), without):
            _link(required, self.packages)

    def run(self, *command: object, cwd: Path, status: int = 0) -> str:
        """What a program of the environment printed, in the folder `cwd`; it must end with the exit code `status`.

        No variable of the caller's environment reaches it but PATH: no PYTHONPATH leads it back to the checkout.
        """
        program, *arguments = map(str, command)
        settings = {"PATH": os.environ["PATH"], "HOME": str(cwd), "OMP_NUM_THREADS": "1"}
        result = subprocess.run(
            [self.root / "bin" / program, *arguments],
            cwd=cwd,
            env=settings,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        assert result.returncode == status, result.stdout
        return result.stdout


def _closure(package: Distribution, without: frozenset[str]) -> list[Distribution]:
    """What `package` requires, and what that requires, extras left out."""
    required: dict[str, Distribution] = {}
    waiting = [package]
    while waiting:
        for line in waiting.pop().requires or []:
            requirement = Requirement(line)
            applies = requirement.marker is None or requirement.marker.evaluate({"extra": ""})
            if applies and requirement.name not in required.keys() | without:
                required[requirement.name] = distribution(requirement.name)
                waiting.append(required[requirement.name])
    return list(required.values())


def _link(package: Distribution, folder: Path) -> None:
    for top in {file.parts[0] for file in package.files or []} - {"..", "__pycache__"}:
        if not (folder / top).exists():  # several packages share a folder such as google/
            (folder / top).symlink_to(Path(str(package.locate_file(top))).resolve())
