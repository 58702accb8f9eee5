"""What the bytes of a net depend on beside its inputs: the processor, the number of threads, OpenBLAS's kernels.

BVLC Caffe and torchcaffe give the same bytes again on the CPU if these are the same. A product of matrices adds its
terms in another order on another processor, with another number of threads, or by other kernels: OpenBLAS chooses them
by the processor, unless OPENBLAS_CORETYPE names others, which the pipeline does for some processors (kernels.py).
"""

import os
from pathlib import Path
from typing import Any

from tools.training import kernels
from tools.training.engine import Engine
from tools.training.kernels import KERNELS, field_of

THREADS = ("OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS")  # OpenBLAS takes the first, PyTorch the second


def machine(engine: Engine | None = None, cpuinfo: Path = Path("/proc/cpuinfo")) -> dict[str, Any]:
    """processor: its name; cores: how many a process may use; threads: the variables that limit them, where set;
    kernels: what OPENBLAS_CORETYPE names, for `engine` if it is given; None where it is not set."""
    chosen = kernels.setting(engine) if engine else {}
    return {
        "processor": field_of("model name", cpuinfo),
        "cores": len(os.sched_getaffinity(0)),
        "threads": {name: os.environ[name] for name in THREADS if os.environ.get(name)},
        "kernels": (os.environ | chosen).get(KERNELS) or None,
    }
