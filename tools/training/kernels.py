"""The kernels of OpenBLAS, which computes BVLC Caffe's products of matrices.

OpenBLAS chooses them by the model of the processor. For one that came out after itself it takes those of a processor
without AVX: OpenBLAS 0.3.13, which `make caffe` brings, takes Prescott's (2004) on a Xeon with AMX and Barcelona's
(2007) on a Zen 5. On the Xeon AlexNet then trains at two thirds of the speed that it has with Haswell's. And Haswell's
are the kernels with which docs/results/demo was made.
"""

import os
from collections.abc import Mapping
from functools import cache
from pathlib import Path

from tools.training.engine import Engine, NoEngine
from tools.training.output import OutputFault, answer_of

KERNELS = "OPENBLAS_CORETYPE"
_CORE = "Core: "  # the line that OpenBLAS prints of itself
_BETTER = "Haswell"
_NEEDED = {"avx2", "fma"}  # instructions of Haswell's kernels
_WITHOUT_AVX2 = {
    *("Katmai", "Coppermine", "Northwood", "Prescott", "Banias", "Atom", "Core2", "Penryn", "Dunnington", "Nehalem"),
    *("Sandybridge", "Athlon", "Opteron", "Opteron_SSE3", "Barcelona", "Bobcat", "Bulldozer", "Piledriver"),
    *("Steamroller", "Nano"),
}


def better_kernels(engine: Engine, cpuinfo: Path = Path("/proc/cpuinfo")) -> tuple[str, str] | None:
    """The kernels that OpenBLAS takes of itself on this machine, and those that suit the processor.

    None if it takes suitable ones, if OPENBLAS_CORETYPE is set, if only to nothing, or if the engine is not BVLC Caffe
    with an OpenBLAS that chooses and lets itself be told.
    """
    if KERNELS in os.environ or not set((field_of("flags", cpuinfo) or "").split()) >= _NEEDED:
        return None
    try:
        return _better(engine.path) if engine.version.startswith("caffe ") else None
    except NoEngine:  # whoever needs the version reports it
        return None


def environment(engine: Engine, given: Mapping[str, str] = os.environ) -> dict[str, str]:
    """The environment of `engine`: what is `given`, with the better kernels if it names none.

    Without an empty OPENBLAS_CORETYPE: OpenBLAS 0.3.13 would take Prescott's for it on any processor.
    """
    found = {**setting(engine), **given}
    if not found.get(KERNELS):
        found.pop(KERNELS, None)
    return found


def setting(engine: Engine) -> dict[str, str]:
    """The better kernels as a part of an environment; nothing if there are none."""
    kernels = better_kernels(engine)
    return {KERNELS: kernels[1]} if kernels else {}


@cache
def _better(caffe: Path) -> tuple[str, str] | None:
    own = _taken(caffe)
    obeys = own in _WITHOUT_AVX2 and _taken(caffe, **{KERNELS: _BETTER}) == _BETTER
    return (own, _BETTER) if obeys else None


def _taken(caffe: Path, **more: str) -> str:
    """The kernels that the OpenBLAS of `caffe` takes, with `more` in its environment; empty if it does not say."""
    try:
        _, lines = answer_of([caffe, "--version"], more={"OPENBLAS_VERBOSE": "2", **more})
    except (OSError, OutputFault):
        return ""
    return next((line.removeprefix(_CORE).strip() for line in lines if line.startswith(_CORE)), "")


def field_of(name: str, cpuinfo: Path) -> str | None:
    """What Linux says of the first processor under `name`; None where it says nothing."""
    if not cpuinfo.is_file():
        return None
    fields = (line.partition(":") for line in cpuinfo.read_text(encoding="utf-8", errors="replace").splitlines())
    return next((value.strip() for key, _, value in fields if key.strip() == name), None)
