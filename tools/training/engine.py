"""The engine: a program that speaks `caffe train`, named by CAFFE as CC names a compiler."""

import os
import shutil
import subprocess
import sys
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from tools.common.checkout import CHECKOUT
from tools.common.errors import UserError


class NoEngine(UserError):
    """No engine was found; the text says how to get one."""


@dataclass(frozen=True)
class Engine:
    path: Path

    @property
    def name(self) -> str:
        """`caffe`, `torchcaffe`: the executable's own name."""
        return self.path.name

    @cached_property
    def version(self) -> str:
        """The first line of `--version`: `caffe version 1.0.0`."""
        try:
            done = subprocess.run([self.path, "--version"], capture_output=True, text=True, timeout=120)
        except OSError as error:
            raise NoEngine(
                f"{self.path}: cannot be started ({error.strerror}); CAFFE names a `caffe` executable"
            ) from None
        lines = (done.stdout + done.stderr).strip().splitlines()
        if done.returncode or not lines:
            raise NoEngine(f"{self.path} --version: exit {done.returncode}: {lines[-1] if lines else 'no output'}")
        return lines[0]


def find() -> Engine:
    """$CAFFE, else `caffe` on the PATH, else the one that `make caffe` put into .caffe/. Raises NoEngine."""
    named = os.environ.get("CAFFE")
    if named:
        found = shutil.which(named) or shutil.which(named, path=str(Path(sys.executable).parent))
        if not found:
            raise NoEngine(f"CAFFE={named}: no such executable; name one, or unset CAFFE and run `make caffe`")
        return Engine(Path(found).absolute())
    for candidate in ("caffe", ".caffe/caffe", str(CHECKOUT / ".caffe" / "caffe")):
        found = shutil.which(candidate)
        if found:
            return Engine(Path(found).absolute())
    raise NoEngine("no Caffe: neither CAFFE nor a `caffe` on the PATH nor .caffe/caffe; run `make caffe`")
