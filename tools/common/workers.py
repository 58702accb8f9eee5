"""Work spread over the machine's cores, by processes that end with the one that started them."""

import ctypes
import multiprocessing
import os
import signal
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from typing import TypeVar

import cv2

from tools.common.errors import UserError

Item = TypeVar("Item")
Result = TypeVar("Result")

_PR_SET_PDEATHSIG = 1  # linux/prctl.h
_work: Callable


def spread(work: Callable[[Item], Result], items: Sequence[Item]) -> Iterator[Result]:
    """Yields `work(item)` of every item as they come, from as many processes as this one may use cores.

    Processes are forked: `work` and all that it holds are theirs without a copy; items and results are pickled. The
    first exception ends it all, as does a caller that stops asking. Raises UserError if a process is killed.
    """
    count = min(len(os.sched_getaffinity(0)), len(items))
    if count == 0:
        return
    context = multiprocessing.get_context("fork")
    pool = ProcessPoolExecutor(count, context, initializer=_start, initargs=(os.getpid(), work))
    try:
        for future in as_completed([pool.submit(_call, item) for item in items]):
            yield future.result()
    except BrokenProcessPool:
        raise UserError("a worker process was killed, most likely for lack of memory; free some, try again") from None
    finally:
        pool.shutdown(cancel_futures=True)


def _start(parent: int, work: Callable) -> None:
    """A `kill -9` of the parent ends the worker too, and with it the locks and the open files that it inherited."""
    global _work
    _work = work
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != parent:  # it died before the line above
        os._exit(1)
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for the parent, which ends its workers
    cv2.setNumThreads(1)  # one thread a core is enough


def _call(item: Item) -> Result:
    return _work(item)
