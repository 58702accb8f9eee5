"""The GPUs that runs may use, and a lock on a place on one GPU while a run trains.

GPUS=0,1 names the GPUs; GPUS= (empty) selects the CPU. If GPUS is unset, the runs use the machine's GPUs if the engine
can use them. PER_GPU=2 lets two runs share each GPU. A CUDA_VISIBLE_DEVICES that a scheduler has set (Slurm's gres) is
respected.
"""

import contextlib
import fcntl
import os
import time
from collections.abc import Iterator
from functools import cache
from pathlib import Path

from tools.common.errors import UserError
from tools.training.engine import Engine
from tools.training.output import OutputFault, answer_of

SLOTS = Path("models") / ".slots"
GPU_GIVEN = "TOOLS_GPU_GIVEN"  # set in the environment of a run whose caller has chosen its GPU, as a pilot does


@cache
def selected_gpus(engine: Engine) -> tuple[str, ...]:
    """The GPUs as named in CUDA_VISIBLE_DEVICES; empty if the runs train on the CPU."""
    named = os.environ.get("GPUS")
    if named is not None:
        return tuple(name.strip() for name in named.split(",") if name.strip())
    visible = os.environ.get("CUDA_VISIBLE_DEVICES")
    gpus = [x for x in visible.split(",") if x] if visible is not None else _machine_gpus()
    return tuple(gpus) if gpus and _can_use_gpu(engine) else ()


def runs_per_gpu() -> int:
    given = os.environ.get("PER_GPU") or "1"
    if not given.isdecimal() or int(given) < 1:
        raise UserError(f"PER_GPU={given}: not a number of runs; PER_GPU=2 lets two share a GPU")
    return int(given)


@contextlib.contextmanager
def gpu_slot(engine: Engine) -> Iterator[str | None]:
    """Waits for a free slot and yields its GPU (None: the CPU). The kernel releases the slot even after `kill -9`."""
    names = selected_gpus(engine)
    if not names or "SLURM_JOB_ID" in os.environ or GPU_GIVEN in os.environ:
        yield names[0] if names else None
        return
    SLOTS.mkdir(parents=True, exist_ok=True)
    while True:
        for slot in range(runs_per_gpu()):
            for name in names:
                with open(SLOTS / f"gpu{name}.{slot}", "a") as file:
                    try:
                        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                    except BlockingIOError:
                        continue
                    yield name
                    return
        time.sleep(0.2)


def _machine_gpus() -> list[str]:
    try:
        status, lines = answer_of(["nvidia-smi", "--query-gpu=index", "--format=csv,noheader"], with_stderr=False)
    except (OSError, OutputFault):
        return []
    return [name for line in lines if (name := line.strip())] if status == 0 else []


def _can_use_gpu(engine: Engine) -> bool:
    """Asks the engine itself: a CPU-only Caffe aborts at device_query."""
    try:
        return answer_of([engine.path, "device_query", "--gpu=all"])[0] == 0
    except OutputFault as fault:
        raise UserError(
            f"{engine.path} device_query: {fault}; mend the engine or the GPU's driver, or set GPUS= for the CPU"
        ) from None
