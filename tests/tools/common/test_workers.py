"""Work on all cores, in processes that never outlive their parent."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tools.common.errors import UserError
from tools.common.workers import parallel_map


def test_every_item_is_worked_on_once_in_other_processes() -> None:
    table = {i: i * i for i in range(100)}  # inherited, not sent
    results = list(parallel_map(lambda i: (table[i], os.getpid()), range(100)))
    assert sorted(square for square, _ in results) == sorted(table.values())
    processes = {pid for _, pid in results}
    assert os.getpid() not in processes
    assert len(processes) <= len(os.sched_getaffinity(0))


def test_nothing_to_do_is_no_error() -> None:
    assert list(parallel_map(str, [])) == []


def test_the_first_exception_ends_it_all(tmp_path: Path) -> None:
    def work(i: int) -> None:
        (tmp_path / str(i)).touch()
        if i == 3:
            raise UserError("item 3")
        time.sleep(0.005)

    with pytest.raises(UserError, match="item 3"):
        list(parallel_map(work, range(1000)))
    assert len(list(tmp_path.iterdir())) < 500


def test_a_worker_that_is_killed_is_reported() -> None:
    with pytest.raises(UserError, match="a worker process was killed, most likely for lack of memory"):
        list(parallel_map(lambda _: os.kill(os.getpid(), signal.SIGKILL), range(4)))


def test_workers_end_with_a_parent_that_is_killed(tmp_path: Path, checkout: Path) -> None:
    code = (
        "import os, time; from pathlib import Path; from tools.common.workers import parallel_map\n"
        "def work(i):\n    Path(str(os.getpid())).touch(); time.sleep(60)\n"
        "list(parallel_map(work, range(2)))"
    )
    parent = subprocess.Popen(
        [sys.executable, "-c", code], cwd=tmp_path, env={**os.environ, "PYTHONPATH": str(checkout)}
    )
    wanted = min(2, len(os.sched_getaffinity(0)))
    while len(os.listdir(tmp_path)) < wanted:
        assert parent.poll() is None
        time.sleep(0.01)
    parent.kill()
    parent.wait()
    give_up = time.monotonic() + 60
    while living := [pid for pid in os.listdir(tmp_path) if alive(pid)]:
        assert time.monotonic() < give_up, f"still there: {living}"
        time.sleep(0.01)


def alive(pid: str) -> bool:
    """A zombie is dead: nobody has asked for its exit code yet."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(") ")[2][0] != "Z"
    except (FileNotFoundError, ProcessLookupError):
        return False
