"""Whole or absent: what is left when a writer fails, and who holds a lock."""

import os
import signal
import subprocess
import sys
import time

import pytest

from tools import files


def test_a_file_appears_whole_and_leaves_nothing_beside_it(tmp_path):
    files.write_atomic(tmp_path / "deep" / "a.txt", "one")
    files.write_atomic(tmp_path / "deep" / "a.txt", b"two")
    assert (tmp_path / "deep" / "a.txt").read_text() == "two"
    assert os.listdir(tmp_path / "deep") == ["a.txt"]


def test_an_unchanged_file_is_not_touched(tmp_path):
    path = tmp_path / "a.txt"
    assert files.write_if_changed(path, "one")
    os.utime(path, (1, 1))
    assert not files.write_if_changed(path, "one")
    assert path.stat().st_mtime == 1
    assert files.write_if_changed(path, "two")


def test_a_folder_that_fails_half_way_leaves_the_old_one(tmp_path):
    with files.new_folder(tmp_path / "out") as part:
        (part / "x").write_text("old")
    with pytest.raises(RuntimeError), files.new_folder(tmp_path / "out") as part:
        (part / "x").write_text("new")
        raise RuntimeError
    assert (tmp_path / "out" / "x").read_text() == "old"
    assert os.listdir(tmp_path) == ["out"]


def test_an_unfinished_marker_counts_as_none(tmp_path):
    (tmp_path / "m.json").write_text('{"a": ')
    assert files.read_json(tmp_path / "m.json") is None
    assert files.read_json(tmp_path / "absent.json") is None


def test_the_kernel_frees_a_lock_after_kill_9(tmp_path):
    holder = subprocess.Popen(
        [
            sys.executable,
            "-c",
            "import sys, time; from pathlib import Path; from tools import files\n"
            "with files.lock(Path(sys.argv[1])): print('held', flush=True); time.sleep(60)",
            tmp_path / ".lock",
        ],
        stdout=subprocess.PIPE,
        env=os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)},
    )
    assert holder.stdout.readline() == b"held\n"
    assert files.is_locked(tmp_path / ".lock")
    holder.send_signal(signal.SIGKILL)
    holder.wait()
    began = time.monotonic()
    with files.lock(tmp_path / ".lock"):
        assert time.monotonic() - began < 5
    assert not files.is_locked(tmp_path / ".lock")
