"""The functions of pycaffe that are about the process: its log, its solvers, a timer.

Source followed: BVLC Caffe's python/caffe/_caffe.cpp.
"""

import time

from torchcaffe.common import log
from torchcaffe.common.log import Fatal


def init_log(level: int = 0, stderr: bool = True) -> None:
    """Leaves out the log lines below `level`: 0 INFO, 1 WARNING, 2 ERROR, 3 FATAL.

    The log goes to standard error, also where glog would write files under /tmp, without `stderr`.
    """
    log.Logger.enabled, log.Logger.level = True, level


def write_log(text: str) -> None:
    """pycaffe's `log`: a line of severity INFO."""
    log.enable_for_script()
    log.info("_caffe.cpp:66", text)


def solver_count() -> int:
    """The number of solvers that train together: one."""
    return 1


def solver_rank() -> int:
    return 0


def set_solver_count(count: int) -> None:
    """Raises Fatal for any but 1."""
    _only_one(count == 1, f"set_solver_count({count})")


def set_solver_rank(rank: int) -> None:
    """Raises Fatal for any but 0."""
    _only_one(rank == 0, f"set_solver_rank({rank})")


def set_multiprocess(several: bool) -> None:
    """Raises Fatal for True."""
    _only_one(not several, f"set_multiprocess({several})")


def has_nccl() -> bool:
    return False


class NCCL:
    """Caffe's training on several GPUs, which torchcaffe does not have. Raises Fatal."""

    def __init__(self, *_: object):
        _only_one(False, "NCCL()")

    @staticmethod
    def new_uid() -> str:
        raise _refusal("NCCL.new_uid()")


class Timer:
    """Measures the time between `start` and `stop`, which `ms` gives in milliseconds."""

    def __init__(self) -> None:
        self._started: float | None = None
        self._elapsed = 0.0

    def start(self) -> None:
        if self._started is None:
            self._started = time.perf_counter()

    def stop(self) -> None:
        if self._started is not None:
            self._elapsed, self._started = time.perf_counter() - self._started, None

    @property
    def ms(self) -> float:
        """Stops the timer if it runs. 0 if it never ran."""
        self.stop()
        return self._elapsed * 1000


def _only_one(condition: bool, what: str) -> None:
    if not condition:
        raise _refusal(what)


def _refusal(what: str) -> Fatal:
    return Fatal(f"{what}: torchcaffe trains with one solver in one process; start one process for each GPU")
