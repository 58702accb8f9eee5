"""The engine: a program with the command line of `caffe`, named by the variable CAFFE as CC names a compiler."""

import os
import shutil
import sys
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path

from tools.common.checkout import CHECKOUT
from tools.common.errors import UserError
from tools.protocol.experiment import Experiment
from tools.training.output import OutputFault, answer_of


class NoEngine(UserError):
    """There is no engine. The text says how to get one."""


@dataclass(frozen=True)
class Engine:
    path: Path
    precision: str = "fp32"  # of products of matrices: fp32, tf32 or bf16

    @property
    def flags(self) -> tuple[str, ...]:
        """What the commands `train` and `test` get besides their arguments. BVLC Caffe has no such flag."""
        return () if self.precision == "fp32" else (f"--precision={self.precision}",)

    @property
    def name(self) -> str:
        """The name of the executable: `caffe`, `torchcaffe`."""
        return self.path.name

    @cached_property
    def version(self) -> str:
        """The first line of `--version`: `caffe version 1.0.0`."""
        try:
            status, lines = answer_of([self.path, "--version"], with_stderr=False)
            if status or not any(map(str.strip, lines)):
                status, lines = answer_of([self.path, "--version"])
        except OSError as error:
            raise NoEngine(
                f"{self.path}: cannot be started ({error.strerror}); CAFFE names a `caffe` executable"
            ) from None
        except OutputFault as fault:
            raise NoEngine(f"{self.path} --version: {fault}; CAFFE names a `caffe` executable") from None
        lines = [line.strip()[:1000] for line in lines if line.strip()]
        if status or not lines:
            raise NoEngine(f"{self.path} --version: exit {status}: {lines[-1] if lines else 'no output'}")
        return lines[0]


def find_engine() -> Engine:
    """$CAFFE; if it is unset `caffe` on the PATH, then the one that `make caffe` put into .caffe/. Raises NoEngine."""
    named = os.environ.get("CAFFE")
    if named:
        path = shutil.which(named) or shutil.which(named, path=str(Path(sys.executable).parent))
        if not path:
            raise NoEngine(f"CAFFE={named}: no such executable; name one, or unset CAFFE and run `make caffe`")
        return Engine(Path(path).absolute())
    for candidate in ("caffe", ".caffe/caffe", str(CHECKOUT / ".caffe" / "caffe")):
        path = shutil.which(candidate)
        if path:
            return Engine(Path(path).absolute())
    raise NoEngine("no Caffe: neither CAFFE nor a `caffe` on the PATH nor .caffe/caffe; run `make caffe`")


def engine_of(exp: Experiment) -> Engine:
    """`find_engine()` with the precision of `exp`. Raises NoEngine, and UserError if the engine does not have it."""
    engine = replace(find_engine(), precision=exp.precision)
    if engine.flags and engine.version.startswith("caffe "):
        found = f"{exp.precision}, but {engine.path} is BVLC Caffe ({engine.version}), which computes in fp32 alone"
        raise exp.fault("precision", found, "leave it out, or choose CAFFE=torchcaffe")
    return engine
