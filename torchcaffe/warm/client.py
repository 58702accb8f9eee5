"""The caller's side: hands a call to the warm parent, forwards signals to the worker, and ends as that ends."""

import os
import resource
import signal
import socket
import struct
import sys
from types import FrameType

from torchcaffe.warm.call import Call
from torchcaffe.warm.owner import Owner

HELLO, READY, GO = b"hello", b"ready", b"go"
PATIENCE = 5.0  # seconds that the warm parent has to answer
MOST_FILES = 253  # the kernel's SCM_MAX_FD

_FORWARDED = (
    *(signal.SIGHUP, signal.SIGINT, signal.SIGQUIT, signal.SIGTERM, signal.SIGUSR1, signal.SIGUSR2, signal.SIGALRM),
    *(signal.SIGTSTP, signal.SIGCONT),
)


def run_warm(call: Call, owner: Owner) -> int | None:
    """Runs `call` in a worker of the owner's warm parent. Returns its exit status.

    Returns None if there is no such parent or it does not take the call. Nothing has been done then. If a signal ends
    the worker, it ends this process as well.
    """
    with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as connection:
        try:
            connection.settimeout(PATIENCE)
            connection.connect(owner.address)
            # The files are sent only to one that answers: one that is stopped would hold the caller's output open.
            if peer_user(connection) != os.getuid() or connection.recv(16) != HELLO:
                return None
            worker = _offer(call, connection)
            if worker is None:
                return None
            _go(connection, worker)
        except OSError:
            return None
        connection.settimeout(None)
        try:
            status = connection.recv(16)
        except ConnectionResetError:
            status = b""
    if not status:
        print("torchcaffe: the process that kept PyTorch loaded has ended, and this run with it", file=sys.stderr)
    return _end_as(int(status or signal.SIGKILL))


def peer_user(connection: socket.socket) -> int:
    """The user id of the process at the other end."""
    size = struct.calcsize("3i")
    return int(struct.unpack("3i", connection.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, size))[1])


def _offer(call: Call, connection: socket.socket) -> int | None:
    """Sends the call with its open files, its folder, and a pipe: the kernel kills the worker when this end is closed.

    Returns the worker, a pidfd; None if the warm parent did not take the call.
    """
    alive, held = os.pipe()
    folder = os.open(".", os.O_PATH | os.O_DIRECTORY)
    socket.send_fds(connection, [call.encoded()], [*call.files, folder, alive])
    os.close(folder)
    os.close(alive)
    answer, files, _, _ = socket.recv_fds(connection, 16, 1)
    if answer != READY or len(files) != 1:
        os.close(held)
        return None
    return files[0]  # `held` stays open for as long as this process lives


def _go(connection: socket.socket, worker: int) -> None:
    """Lets the worker begin. From before that on, signals are its own. Raises OSError if the warm parent is gone."""
    before = {number: signal.getsignal(number) for number in _FORWARDED}
    _forward_signals(worker)
    try:
        connection.send(GO)
    except OSError:
        for number, handler in before.items():
            signal.signal(number, handler)
        raise


def _forward_signals(worker: int) -> None:
    """The worker decides what a signal does. A stop is an exception: the worker has no terminal, so the kernel would
    not stop it at SIGTSTP."""

    def forward(number: int, frame: FrameType | None) -> None:
        stop = number == signal.SIGTSTP
        try:
            signal.pidfd_send_signal(worker, signal.SIGSTOP if stop else number)
        except ProcessLookupError:  # it has just ended; its status is on the way
            return
        if stop:
            os.kill(os.getpid(), signal.SIGSTOP)

    for number in _FORWARDED:
        signal.signal(number, forward)


def _end_as(status: int) -> int:
    """The exit status in `status`, which is of waitpid(2); or ends this process by the same signal as the worker."""
    if os.WIFEXITED(status):
        return os.WEXITSTATUS(status)
    number = os.WTERMSIG(status)
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))  # the worker has dumped its core
    sys.stderr.flush()
    if number not in (signal.SIGKILL, signal.SIGSTOP):
        signal.signal(number, signal.SIG_DFL)
        signal.pthread_sigmask(signal.SIG_UNBLOCK, [number])
    os.kill(os.getpid(), number)
    return 128 + number  # as process 1 of a container it is still alive
