"""The warm parent: a copy of the first call's process, forked after PyTorch was imported, that forks the workers."""

import ast
import gc
import os
import select
import signal
import socket
import sys
from contextlib import suppress
from typing import NamedTuple

from torchcaffe.warm.call import Call
from torchcaffe.warm.client import GO, HELLO, MOST_FILES, READY, peer_user
from torchcaffe.warm.owner import Owner
from torchcaffe.warm.worker import close_others, die_at_end_of, die_with, take_place

_LONGEST = 1 << 20  # bytes of a message; the kernel takes less
_WAITING = 256  # calls that wait to be heard
_NAME = "torchcaffe-warm"  # 15 letters: the most that the kernel keeps
_PROGRAM = ("torchcaffe", "caffeformat")

Stamp = tuple[int, int, int]


class Taken(NamedTuple):
    """What a new worker has got: the call, its open files, and the connection to the caller."""

    call: Call
    files: list[int]
    connection: int


def thread_count() -> int:
    return len(os.listdir("/proc/self/task"))


def leave(call: Call, owner: Owner) -> bool:
    """Leaves a warm parent behind that ends with `owner`, unless there is one.

    Returns False in this process, and later True in each worker, which then has the arguments (sys.argv), the
    environment and the files of its own caller. The process must have no threads, other than those that OpenBLAS starts
    when numpy is imported: OpenBLAS ends these when a process forks, and starts them again when they are needed.
    """
    with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as listener:
        try:
            listener.bind(owner.address)
            owner_file = os.pidfd_open(owner.process)
        except OSError:  # there is one, or the owner has ended
            return False
        sys.stdout.flush()
        sys.stderr.flush()
        if _is_first_process():
            os.close(owner_file)
            return False
        if not owner.is_alive():
            os._exit(0)
        try:
            _settle(listener, owner_file)
            taken = _Parent(listener, owner_file, call.start).serve()
        except BaseException:  # the files of the first call are closed: there is nobody to tell
            os._exit(1)
    _become(taken)
    return True


def _is_first_process() -> bool:
    """Forks twice, so that the copy is no child of the caller. False in the copy."""
    try:
        child = os.fork()
    except OSError:  # no more processes: then there is no warm parent
        return True
    if child:
        os.waitpid(child, 0)
        return True
    try:
        os.setsid()
        if os.fork():
            os._exit(0)
    except OSError:
        os._exit(1)
    return False


def _settle(listener: socket.socket, owner_file: int) -> None:
    """Lets go of all that came from the first call's caller."""
    os.chdir("/")
    null = os.open(os.devnull, os.O_RDWR)
    for standard in (0, 1, 2):
        os.dup2(null, standard)
    close_others({0, 1, 2, listener.fileno(), owner_file})
    for number in signal.valid_signals() - {signal.SIGKILL, signal.SIGSTOP}:
        if signal.getsignal(number) not in (signal.SIG_DFL, None):
            signal.signal(number, signal.SIG_DFL)
    signal.signal(signal.SIGPIPE, signal.SIG_IGN)  # a caller may end at any moment
    signal.pthread_sigmask(signal.SIG_SETMASK, ())
    with open("/proc/self/comm", "w", encoding="ascii") as file:
        file.write(_NAME)
    gc.freeze()  # else a worker's collector writes to, and so copies, all that the parent holds
    listener.listen(_WAITING)


class _Parent:
    def __init__(self, listener: socket.socket, owner_file: int, start: dict[str, str]):
        self._listener, self._owner_file, self._start = listener, owner_file, start
        self._program = _program_files()
        self._callers: dict[int, socket.socket] = {}  # connections on which a call has not come yet
        self._workers: dict[int, tuple[int, socket.socket]] = {}  # pidfd -> process id, connection to its caller
        self._poll = select.poll()
        for file in (listener.fileno(), owner_file):
            self._poll.register(file, select.POLLIN)

    def serve(self) -> Taken:
        """Forks a worker for each call; returns in the workers. The process ends when the owner does, or when all
        workers have ended after files of the program have changed."""
        while True:
            for file, _ in self._poll.poll():
                if file == self._owner_file:
                    os._exit(0)
                elif file in self._workers:
                    self._tell_end(file)
                elif file in self._callers:
                    taken = self._hear(self._callers.pop(file))
                    if taken:
                        return taken
                else:
                    self._accept()
            if self._is_stale and not self._workers:
                os._exit(0)

    @property
    def _is_stale(self) -> bool:
        return self._listener.fileno() < 0

    def _accept(self) -> None:
        try:
            caller, _ = self._listener.accept()
        except OSError:  # it has given up; or a lack of files or memory, which passes
            return
        if peer_user(caller) != os.getuid():
            caller.close()
            return
        try:
            caller.send(HELLO)
        except OSError:  # it has gone
            caller.close()
            return
        self._callers[caller.fileno()] = caller
        self._poll.register(caller, select.POLLIN)

    def _hear(self, caller: socket.socket) -> Taken | None:
        """Forks a worker for the call that has come, or refuses it by closing the connection. Not None in a worker."""
        self._poll.unregister(caller)
        parent = os.getpid()
        call, files = _received(caller)
        worker = _fork() if call and self._takes(call, files) else None
        if call and worker == 0:
            die_with(parent)
            for connection in (self._listener, *self._callers.values(), *(held for _, held in self._workers.values())):
                connection.detach()  # so that no object closes a number that is another file's by then
            return Taken(call, files, caller.detach())
        for file in files:
            os.close(file)
        if not worker:
            caller.close()
            return None
        pidfd = os.pidfd_open(worker)
        self._workers[pidfd] = worker, caller
        self._poll.register(pidfd, select.POLLIN)
        with suppress(OSError):  # the caller has gone; the worker sees that as well
            socket.send_fds(caller, [READY], [pidfd])
        return None

    def _takes(self, call: Call, files: list[int]) -> bool:
        """Whether a worker can be what a cold start would be. Listens no more if files of the program have changed."""
        if not self._is_stale and _program_files() != self._program:
            self._poll.unregister(self._listener)
            self._listener.close()
        return not self._is_stale and call.start == self._start and len(files) == len(call.files) + 2

    def _tell_end(self, pidfd: int) -> None:
        self._poll.unregister(pidfd)
        os.close(pidfd)
        worker, caller = self._workers.pop(pidfd)
        _, status = os.waitpid(worker, 0)
        with caller, suppress(OSError):  # the caller has gone
            caller.send(str(status).encode("ascii"))


def _received(caller: socket.socket) -> tuple[Call | None, list[int]]:
    """The call on a connection, None if it is none, and the files that came with it."""
    files: list[int] = []
    try:
        message, files, _, _ = socket.recv_fds(caller, _LONGEST, MOST_FILES)
        return Call(*ast.literal_eval(message.decode("ascii"))), files
    except (OSError, ValueError, SyntaxError, TypeError):  # the last three: a message in another form
        return None, files


def _fork() -> int | None:
    try:
        return os.fork()
    except OSError:  # no more processes, or no memory
        return None


def _become(taken: Taken) -> None:
    """Makes this process, a new worker, what a cold start would be, and waits until the caller agrees."""
    connection, alive = take_place(taken.call, taken.files, [taken.connection])
    die_at_end_of(alive)
    try:
        agreed = os.read(connection, len(GO)) == GO
    except ConnectionResetError:
        agreed = False
    if not agreed:  # it did not wait, and starts cold
        os._exit(1)
    os.close(connection)


def _program_files() -> dict[str, Stamp | None]:
    """File -> inode, size and time: all modules of torchcaffe and caffeformat, and the first one of other packages."""
    files = {}
    for name, module in list(sys.modules.items()):
        file = getattr(module, "__file__", None)
        if file and (name.partition(".")[0] in _PROGRAM or "." not in name):
            files[file] = _stamp(file)
    return files


def _stamp(file: str) -> Stamp | None:
    try:
        stat = os.stat(file)
    except OSError:
        return None
    return stat.st_ino, stat.st_size, stat.st_mtime_ns
