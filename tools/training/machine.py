"""What the bytes of a net depend on beside its inputs: the processor, the number of threads, OpenBLAS's kernels.

BVLC Caffe and torchcaffe give the same bytes again on the CPU if these are the same. A product of matrices adds its
terms in another order on another processor, with another number of threads, or by other kernels: OpenBLAS chooses them
by the processor, unless OPENBLAS_CORETYPE names others.
"""

import os
from pathlib import Path
from typing import Any

THREADS = ("OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS")  # OpenBLAS takes the first, PyTorch the second
KERNELS = "OPENBLAS_CORETYPE"


def machine(cpuinfo: Path = Path("/proc/cpuinfo")) -> dict[str, Any]:
    """processor: its name; cores: how many a process may use; threads: the variables that limit them, where set;
    kernels: what OPENBLAS_CORETYPE names, None where it is not set."""
    return {
        "processor": _processor(cpuinfo),
        "cores": len(os.sched_getaffinity(0)),
        "threads": {name: os.environ[name] for name in THREADS if os.environ.get(name)},
        "kernels": os.environ.get(KERNELS) or None,
    }


def _processor(cpuinfo: Path) -> str | None:
    """The processor's name as Linux has it; None where it has none."""
    if not cpuinfo.is_file():
        return None
    fields = (line.partition(":") for line in cpuinfo.read_text(encoding="utf-8", errors="replace").splitlines())
    return next((value.strip() for name, _, value in fields if name.strip() == "model name"), None)
