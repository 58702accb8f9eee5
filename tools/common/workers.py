"""A function applied to many items, by one process per CPU core. The processes end when their parent does."""

import gc
import multiprocessing
import os
import signal
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from typing import Any, TypeVar

import cv2

from tools.common.errors import UserError
from tools.common.parent_death import die_with_parent

Item = TypeVar("Item")
Result = TypeVar("Result")

_function: Callable[[Any], Any]  # what this worker process applies to its items


def parallel_map(function: Callable[[Item], Result], items: Sequence[Item]) -> Iterator[Result]:
    """Yields `function(item)` for every item, in the order in which they finish, from one process per available core.

    The processes are forked: they share `function` and the data it refers to without a copy. Items and results are
    pickled. The first exception stops all of them, and so does closing the iterator. Raises UserError if a process is
    killed.
    """
    count = min(len(os.sched_getaffinity(0)), len(items))
    if count == 0:
        return
    context = multiprocessing.get_context("fork")
    pool = ProcessPoolExecutor(count, context, initializer=_start_worker, initargs=(os.getpid(), function))
    try:
        futures: list[Future[Result]] = [pool.submit(_apply, item) for item in items]
        for future in as_completed(futures):
            yield future.result()
    except BrokenProcessPool:
        raise UserError("a worker process was killed, most likely for lack of memory; free some, try again") from None
    finally:
        pool.shutdown(cancel_futures=True)


def _start_worker(parent: int, function: Callable[[Any], Any]) -> None:
    """Lets a `kill -9` of the parent end this worker too, and so release the locks and files that it inherited."""
    global _function
    _function = function
    gc.freeze()  # a collection would write to, and so copy, the pages that are shared with the parent
    die_with_parent(parent)
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C goes to the parent, which ends its workers
    cv2.setNumThreads(1)  # there is one process per core already


def _apply(item: Any) -> Any:
    return _function(item)
