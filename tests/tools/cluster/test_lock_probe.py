"""Folders whose locks do not work. The kernel itself answers flock as such a disk does (a seccomp filter)."""

import os
import platform
import subprocess
import sys
from pathlib import Path

import pytest

from tests.helpers import trained_project
from tools.cluster.lock_probe import check_locks

# A filter of system calls: number 73 (flock on x86_64) ends with the errno ANSWER; all others are let through.
WITHOUT_FLOCK = """\
import ctypes, struct, sys
lines = [(0x20, 0, 0, 0), (0x15, 0, 1, 73), (0x06, 0, 0, 0x00050000 | ANSWER), (0x06, 0, 0, 0x7FFF0000)]
code = ctypes.create_string_buffer(b"".join(struct.pack("HBBI", *line) for line in lines))
program = ctypes.create_string_buffer(struct.pack("HxxxxxxQ", len(lines), ctypes.addressof(code)))
prctl = ctypes.CDLL(None).prctl
assert prctl(38, 1, 0, 0, 0) == 0 and prctl(22, 2, ctypes.byref(program), 0, 0) == 0
"""
PROBE = """
from pathlib import Path
from tools.cluster.lock_probe import check_locks
from tools.common.errors import UserError
try:
    check_locks(Path("."))
except UserError as error:
    print(error)
"""

SWEEP = """
import sys
from tools.__main__ import main
sys.argv[1:] = ["sweep", "experiments/quick.yaml", "--executor", "slurm"]
sys.exit(main())
"""
on_x86_64 = pytest.mark.skipif(platform.machine() != "x86_64", reason="the number of flock is that of x86_64")


def said_with(answer: int, folder: Path, checkout: Path) -> str:
    code = WITHOUT_FLOCK.replace("ANSWER", str(answer)) + PROBE
    command = [sys.executable, "-c", code]
    return subprocess.run(
        command, cwd=folder, env={"PYTHONPATH": str(checkout)}, capture_output=True, text=True, check=True
    ).stdout


def test_a_disk_of_this_machine_has_locks(tmp_path: Path) -> None:
    check_locks(tmp_path)
    assert not list(tmp_path.iterdir())


@on_x86_64
def test_a_disk_without_flock_is_refused_with_what_to_do(tmp_path: Path, checkout: Path) -> None:
    said = said_with(38, tmp_path, checkout)  # ENOSYS: Lustre without -o flock
    assert "flock fails there (Function not implemented), so two jobs could train the same run" in said
    assert "mount -o flock" in said


@on_x86_64
def test_a_disk_whose_locks_hold_nothing_is_refused(tmp_path: Path, checkout: Path) -> None:
    assert "flock there gives two processes the same lock" in said_with(0, tmp_path, checkout)
    assert not list(tmp_path.iterdir())


@on_x86_64
def test_a_sweep_on_a_disk_without_flock_ends_before_anything_starts(root: Path, checkout: Path, caffe: Path) -> None:
    trained_project.write_project(root / "images")
    command = [sys.executable, "-c", WITHOUT_FLOCK.replace("ANSWER", "38") + SWEEP]
    environment = os.environ | {"PYTHONPATH": str(checkout), "CAFFE": str(caffe)}
    process = subprocess.run(command, env=environment, capture_output=True, text=True)
    assert process.returncode == 2 and process.stdout == ""
    assert process.stderr.startswith("error: results/: flock fails there (Function not implemented), so two jobs could")
    assert not list(Path("results").iterdir())
