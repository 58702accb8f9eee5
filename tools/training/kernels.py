"""The kernels of OpenBLAS, which computes BVLC Caffe's products of matrices.

OpenBLAS chooses them by the model of the processor. For one that came out after itself it takes those of a processor
without AVX: OpenBLAS 0.3.13, which `make caffe` brings, takes Prescott's (2004) on a Xeon with AMX and Barcelona's
(2007) on a Zen 5. On the Xeon AlexNet then trains at two thirds of the speed that it has with Haswell's. And Haswell's
are the kernels with which docs/results/demo was made.
"""

import os
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

    None if it takes suitable ones, if OPENBLAS_CORETYPE names some (or is set and empty), or if the engine is not BVLC
    Caffe with an OpenBLAS that chooses.
    """
    if KERNELS in os.environ or not set((field_of("flags", cpuinfo) or "").split()) >= _NEEDED:
        return None
    try:
        chosen = _chosen(engine.path) if engine.version.startswith("caffe ") else ""
    except NoEngine:  # whoever needs the version reports it
        return None
    return (chosen, _BETTER) if chosen in _WITHOUT_AVX2 else None


def setting(engine: Engine) -> dict[str, str]:
    """What the environment of `engine` has beside what the user sets: the better kernels, if there are any."""
    kernels = better_kernels(engine)
    return {KERNELS: kernels[1]} if kernels else {}


@cache
def _chosen(caffe: Path) -> str:
    """The kernels that the OpenBLAS of BVLC Caffe takes here; empty if it does not say."""
    try:
        _, lines = answer_of([caffe, "--version"], more={"OPENBLAS_VERBOSE": "2"})
    except (OSError, OutputFault):
        return ""
    return next((line.removeprefix(_CORE).strip() for line in lines if line.startswith(_CORE)), "")


def field_of(name: str, cpuinfo: Path) -> str | None:
    """What Linux says of the first processor under `name`; None where it says nothing."""
    if not cpuinfo.is_file():
        return None
    fields = (line.partition(":") for line in cpuinfo.read_text(encoding="utf-8", errors="replace").splitlines())
    return next((value.strip() for key, _, value in fields if key.strip() == name), None)
