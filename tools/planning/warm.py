"""The warm process of a sweep: it has the verbs' modules loaded, and forks a process for each job of the graph.

    python -m tools.planning.warm PARENT

A run's verb takes half a second of processor time to load what it imports, and there may be thousands of runs. The
sweep starts this process in its own folder. A job (job.py) connects to the socket WARM and sends its mark. The process
that is forked then goes on as `python -m tools VERB ...` does, with nothing shared but loaded modules. The job gets
its exit status. If the job ends before, its verb is killed. This process ends when the sweep, process PARENT, does,
and the verbs end when this process does.

It does not load all modules at once, because the first job waits for them. While a verb is at work it loads those of
the verbs that come next.
"""

import atexit
import contextlib
import gc
import importlib
import json
import os
import runpy
import select
import signal
import socket
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from tools.common.parent_death import die_with_parent
from tools.planning.job import GRAPH, WARM, arguments_of

_WAITING = 256  # jobs that wait to be heard
_NAME = "tools {}"  # what `top` shows of a verb
_LATE = {"plot": ["sklearn.manifold"]}  # modules that a verb does not load before it works


class _Warm:
    def __init__(self, listener: socket.socket, graph: dict[str, Any]) -> None:
        self._listener = listener
        self._poll = select.poll()
        self._jobs: dict[int, tuple[socket.socket, int]] = {}  # connection -> itself, and the pidfd of its verb
        self._verbs: dict[int, tuple[int, socket.socket]] = {}  # pidfd -> process id, the job's connection
        self._next = _loaded(graph)
        self._poll.register(listener, select.POLLIN)

    def serve(self) -> str:
        """Forks a process for each job. Returns in these, with the job's mark."""
        next(self._next, None)
        while True:
            ready = self._poll.poll(0 if self._verbs else None)
            if not ready and next(self._next, None) is None:
                ready = self._poll.poll()
            for file, _ in ready:
                if file == self._listener.fileno():
                    if mark := self._begin():
                        return mark
                elif file in self._verbs:
                    self._tell_end(file)
                elif file in self._jobs:
                    self._abandon(file)

    def _begin(self) -> str:
        """The mark of the job that connects, in the process that is to do it; nothing in this one."""
        job, _ = self._listener.accept()
        mark, warm = job.recv(1 << 12).decode("ascii"), os.getpid()
        try:
            verb = os.fork() if mark else None
        except OSError:  # no more processes, or no memory: the job takes its verb as killed
            verb = None
        if verb is None:
            job.close()
            return ""
        if verb:
            self._watch(job, verb)
            return ""
        die_with_parent(warm)
        for connection in (self._listener, job, *(other for other, _ in self._jobs.values())):
            connection.close()
        for pidfd in self._verbs:
            os.close(pidfd)
        return mark

    def _watch(self, job: socket.socket, verb: int) -> None:
        pidfd = os.pidfd_open(verb)
        self._jobs[job.fileno()] = job, pidfd
        self._verbs[pidfd] = verb, job
        for file in (job.fileno(), pidfd):
            self._poll.register(file, select.POLLIN)

    def _abandon(self, file: int) -> None:
        """Kills the verb of a job that has ended."""
        self._poll.unregister(file)
        _, pidfd = self._jobs.pop(file)
        signal.pidfd_send_signal(pidfd, signal.SIGKILL)

    def _tell_end(self, pidfd: int) -> None:
        self._poll.unregister(pidfd)
        os.close(pidfd)
        verb, job = self._verbs.pop(pidfd)
        _, status = os.waitpid(verb, 0)
        if self._jobs.pop(job.fileno(), None):
            self._poll.unregister(job)
        with job, contextlib.suppress(OSError):  # the job has ended
            job.send(str(os.waitstatus_to_exitcode(status)).encode("ascii"))


def _loaded(graph: dict[str, Any]) -> Iterator[str]:
    """Loads the modules of one more verb of the graph each time, in its order, and yields the verb."""
    tables = [verb for verb in graph["stages"] if verb in graph["tables"]]
    data = [verb for verb in graph["stages"] if verb not in tables]
    for verb in (*data, *(["run"] if graph["runs"] else []), *tables):
        with contextlib.suppress(Exception):  # the verb itself will raise it, and be heard
            for module in (f"tools.{verb}", *_LATE.get(verb, [])):
                importlib.import_module(module)
            if verb == "run":
                _ask_for_kernels()
        gc.freeze()  # else a collection in a verb's process writes to, and so copies, what this one holds
        yield verb


def _ask_for_kernels() -> None:
    """Asks the engine for its kernels. The answer is kept: else each run would start Caffe to ask it."""
    from tools.training.engine import find_engine  # loaded with the verb, after the socket is there
    from tools.training.kernels import better_kernels

    better_kernels(find_engine())


def main() -> None:
    die_with_parent(int(sys.argv[1]))
    os.pidfd_open(os.getpid())  # OSError: an old kernel; without this process verbs start as they do by hand
    graph = json.loads(Path(GRAPH).read_text(encoding="ascii"))
    with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as listener:
        listener.bind(WARM)
        listener.listen(_WAITING)
        os.chdir(graph["root"])
        os.environ["MPLBACKEND"] = "Agg"  # before matplotlib is loaded, as tools/__main__.py does
        environment = dict(os.environ)
        signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches the verbs, and the sweep, which ends this process
        mark = _Warm(listener, graph).serve()
    signal.signal(signal.SIGINT, signal.default_int_handler)
    os.environ.clear()  # scikit-learn, for one, sets variables when it is loaded: torchcaffe would not start warm
    os.environ.update(environment)
    sys.argv = ["tools", *arguments_of(graph, mark)]
    with contextlib.suppress(OSError):
        Path("/proc/self/comm").write_text(_NAME.format(sys.argv[1]), encoding="ascii")
    try:
        runpy.run_module("tools", run_name="__main__", alter_sys=True)
    except SystemExit as end:
        if isinstance(end.code, int) and threading.active_count() == 1:
            _end_at_once(end.code)
        raise


def _end_at_once(status: int) -> None:
    """Ends this process. Python's own end takes a tenth of a second: it touches, and so copies, all that was loaded."""
    atexit._run_exitfuncs()
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(status)


if __name__ == "__main__":
    main()
