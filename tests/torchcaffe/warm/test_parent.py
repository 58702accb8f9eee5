"""The warm parent: one for each owner, which ends with it, stays small, and is replaced when the program changes."""

import contextlib
import os
import shutil
import signal
import socket
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.helpers.warm_calls import (
    CHECKOUT,
    ENVIRONMENT,
    PROGRAM,
    is_alive,
    is_warm,
    make_warm,
    ready,
    report,
    started,
    this_owner,
    wait_for,
    warm_parent,
)


@pytest.mark.usefixtures("cold")
def test_the_first_call_starts_cold_and_the_others_warm() -> None:
    assert report()["parent"] == os.getpid()
    wait_for(lambda: warm_parent(this_owner()))
    assert all(is_warm(report()) for _ in range(3))


@pytest.mark.usefixtures("cold")
def test_of_calls_at_once_each_ends_well_and_one_leaves_a_parent() -> None:
    for _ in range(3):
        calls = [started("report", number) for number in range(6)]
        assert [(call.wait(60), call.communicate()[1]) for call in calls] == [(number, "") for number in range(6)]
    parents = [process for process in map(int, filter(str.isdigit, os.listdir("/proc"))) if is_of_this_test(process)]
    assert parents == [warm_parent(this_owner())]


def is_of_this_test(process: int) -> bool:
    """Whether it is a warm parent that was left by a call of this test."""
    try:
        name = Path(f"/proc/{process}/comm").read_text()
        environment = Path(f"/proc/{process}/environ").read_bytes()
    except OSError:
        return False
    return name == "torchcaffe-warm\n" and f"TORCHCAFFE_WARM={os.getpid()}\0".encode() in environment


def files_of(process: int) -> list[str]:
    """What its open files are. One that closes while this looks is left out."""
    found = []
    for path in Path(f"/proc/{process}/fd").iterdir():
        with contextlib.suppress(FileNotFoundError):
            found.append(os.readlink(path))
    return found


def test_it_holds_nothing_of_the_first_caller(warm: int) -> None:
    own = [*(["/dev/null"] * 3), "anon_inode", "socket"]
    wait_for(lambda: sorted(kind.partition(":")[0] for kind in files_of(warm)) == own)  # a call may just have ended
    assert os.readlink(f"/proc/{warm}/cwd") == "/"
    assert os.getsid(warm) != os.getsid(0) and os.listdir(f"/proc/{warm}/task") == [str(warm)]


def test_after_a_kill_the_next_call_leaves_another(warm: int) -> None:
    os.kill(warm, signal.SIGKILL)
    wait_for(lambda: not is_alive(warm))
    assert make_warm() != warm and is_warm(report())


OWNER = """
import subprocess, sys, os
os.environ["TORCHCAFFE_WARM"] = str(os.getpid())
subprocess.run([*sys.argv[1:], "report", "0"], stdout=subprocess.DEVNULL)
worker = subprocess.Popen([*sys.argv[1:], "heed"])
worker.wait()
"""


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM])
def test_it_ends_with_its_owner_and_so_does_what_it_forked(number: int) -> None:
    command = [sys.executable, "-c", OWNER, *PROGRAM]
    owner = subprocess.Popen(command, env=ENVIRONMENT, stdout=subprocess.PIPE, text=True, start_new_session=True)
    worker = ready(owner)
    parent = int(Path(f"/proc/{worker}/stat").read_text().rpartition(")")[2].split()[1])
    if parent != owner.pid:
        assert Path(f"/proc/{parent}/comm").read_text() in ("torchcaffe-warm\n", "python\n", "python3\n")
    owner.send_signal(number)
    owner.wait(60)
    wait_for(lambda: not is_alive(worker) and not is_alive(parent))


def test_another_owners_parent_is_not_used(warm: int) -> None:
    out = subprocess.run(
        [sys.executable, "-c", OWNER.replace('"heed"', '"report", "0"'), *PROGRAM],
        env=ENVIRONMENT,
        capture_output=True,
        text=True,
    ).stdout
    assert f'"parent": {warm},' not in out


@pytest.mark.usefixtures("cold")
def test_when_a_file_of_the_program_has_changed_the_next_call_leaves_another(tmp_path: Path) -> None:
    for name in ("torchcaffe", "caffeformat", "tests"):
        shutil.copytree(CHECKOUT / name, tmp_path / name, ignore=shutil.ignore_patterns("*.pyc", "results"))
    environment = ENVIRONMENT | {"PYTHONPATH": str(tmp_path)}
    report(env=environment)
    wait_for(lambda: warm_parent(this_owner()))
    old = warm_parent(this_owner())
    busy = started("heed", env=environment)
    ready(busy)
    with open(tmp_path / "torchcaffe/warm/call.py", "a") as file:
        file.write("# changed\n")
    assert report(env=environment)["parent"] == os.getpid()
    wait_for(lambda: warm_parent(this_owner()) not in (old, None))
    assert is_warm(report(env=environment))
    assert old and is_alive(old)
    busy.send_signal(signal.SIGUSR2)
    assert busy.wait(60) == 7  # the old one stays until its last worker has ended
    wait_for(lambda: not is_alive(old))
    assert busy.stdout and busy.stderr
    busy.communicate()


def test_what_is_no_call_is_refused(warm: int) -> None:
    for message in (b"x", b"(", b"(1, 2)", b"\xff", b"x" * 100_000):
        with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as connection:
            connection.connect(this_owner().address)
            assert connection.recv(16) == b"hello"
            connection.send(message)
            assert connection.recv(16) == b""
    assert report()["parent"] == warm


def as_another_user(work: Callable[[], bool]) -> bool:
    """The result of `work` in a process of another user."""
    child = os.fork()
    if child == 0:
        os.setresuid(65534, 65534, 65534)
        os._exit(0 if work() else 1)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0


needs_root = pytest.mark.skipif(os.getuid() != 0, reason="only root can be another user")


@needs_root
@pytest.mark.usefixtures("warm")
def test_another_user_is_not_served() -> None:
    def is_refused() -> bool:
        with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as connection:
            connection.connect(address)
            return connection.recv(16) == b""

    address = this_owner().address
    assert not is_refused()
    assert as_another_user(is_refused)


@needs_root
@pytest.mark.usefixtures("cold")
def test_another_users_parent_is_not_used() -> None:
    address = this_owner().address
    with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as listener:
        listener.bind(address)

        def listen() -> bool:
            listener.listen()
            return True

        assert as_another_user(listen)  # the kernel keeps who has called listen
        assert report()["parent"] == os.getpid()
        listener.settimeout(10)
        connection, _ = listener.accept()
        with connection:
            assert connection.recv(16) == b""  # nothing was sent to it


@pytest.mark.slow
def test_it_does_not_grow_over_100_calls(warm: int) -> None:
    def memory() -> int:
        status = Path(f"/proc/{warm}/status").read_text()
        return int(status.split("RssAnon:")[1].split()[0])

    for _ in range(5):
        report()
    before = memory()
    for _ in range(100):
        assert report()["parent"] == warm
    wait_for(lambda: len(files_of(warm)) == 5)  # as in test_it_holds_nothing_of_the_first_caller
    assert memory() < before + 256  # KB
