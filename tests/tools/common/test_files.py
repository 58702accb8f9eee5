"""Files and folders appear whole or not at all, after a failing writer too; who holds a lock."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from tools.common import files


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


def test_what_killed_writers_left_goes_and_what_a_living_one_writes_stays(tmp_path):
    (tmp_path / "deep").mkdir()
    (tmp_path / "deep" / ".a.txt.1.part").write_text("half")
    (tmp_path / ".b.2.part" / "x").mkdir(parents=True)
    (tmp_path / "c.zip.part").write_text("a download that will be gone on with")
    with files.new_folder(tmp_path / "out") as part, files.create_locked(tmp_path / ".d.3.part", Path.touch):
        (part / "y").write_text("new")
        files.remove_leftovers(tmp_path)
        assert sorted(os.listdir(tmp_path)) == sorted([part.name, ".d.3.part", "c.zip.part", "deep"])
    assert (tmp_path / "out" / "y").read_text() == "new" and os.listdir(tmp_path / "deep") == []
    files.remove_leftovers(tmp_path)
    assert sorted(os.listdir(tmp_path)) == ["c.zip.part", "deep", "out"]


@pytest.mark.slow
def test_a_writer_whose_part_is_taken_for_a_leftover_before_it_is_held_begins_anew(tmp_path):
    """One process removes, over and over, all that is not held; another writes: nothing is lost."""
    remover = subprocess.Popen(
        [
            sys.executable,
            "-c",
            "import sys; from tools.common import files\n"
            "print('on', flush=True)\n"
            "while True: files.remove_leftovers(sys.argv[1])",
            tmp_path,
        ],
        stdout=subprocess.PIPE,
        env=os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)},
    )
    assert remover.stdout.readline() == b"on\n"
    for count in range(300):
        files.write_atomic(tmp_path / "a.txt", str(count))
        with files.new_folder(tmp_path / "b") as part:
            (part / "x").write_text(str(count))
        assert (tmp_path / "a.txt").read_text() == (tmp_path / "b" / "x").read_text() == str(count)
    assert remover.poll() is None
    remover.kill()
    remover.wait()


def test_an_unfinished_marker_counts_as_none(tmp_path):
    (tmp_path / "m.json").write_text('{"a": ')
    assert files.read_json(tmp_path / "m.json") is None
    assert files.read_json(tmp_path / "absent.json") is None


def test_checksums_are_of_the_files_that_are_there(tmp_path):
    (tmp_path / "a.txt").write_bytes(b"abc")
    digest = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
    assert files.checksums(tmp_path, ["a.txt", "b.txt"]) == {"a.txt": digest}


def test_the_kernel_frees_a_lock_after_kill_9(tmp_path):
    holder = subprocess.Popen(
        [
            sys.executable,
            "-c",
            "import sys, time; from pathlib import Path; from tools.common import files\n"
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
    assert not files.is_locked(tmp_path / ".lock")
    with files.lock(tmp_path / ".lock"):
        assert files.is_locked(tmp_path / ".lock")


def test_a_full_disk_is_named_with_the_file_that_was_written(tmp_path, monkeypatch):
    """/dev/full gives ENOSPC in write(), where Python knows no file name."""
    real = open

    def open_full(path, mode="r"):
        return real("/dev/full" if "w" in mode else path, mode)

    monkeypatch.setattr(files, "open", open_full, raising=False)
    with pytest.raises(OSError, match="No space left") as full:
        files.write_atomic(tmp_path / "runs.csv", b"x" * 100_000)
    assert full.value.filename == str(tmp_path / "runs.csv")
    assert list(tmp_path.iterdir()) == []


def test_a_limit_on_the_size_of_files_is_named_with_the_folder(tmp_path):
    """The kernel itself refuses: RLIMIT_FSIZE, as a quota does."""
    script = f"""
import resource, sys
sys.path.insert(0, {str(files.__file__).rpartition("/tools/")[0]!r})
from pathlib import Path
from tools.common.files import new_folder
resource.setrlimit(resource.RLIMIT_FSIZE, (4096, 4096))
try:
    with new_folder(Path("half")) as part:
        (part / "a").write_bytes(b"x" * 9999)
except OSError as error:
    print(error.filename, error.strerror)
"""
    said = subprocess.run([sys.executable, "-c", script], cwd=tmp_path, capture_output=True, text=True)
    assert (said.stdout, said.stderr) == ("half File too large\n", "")
    assert list(tmp_path.iterdir()) == []


def test_a_temporary_folder_is_in_use_while_its_writer_runs(tmp_path):
    place = tmp_path / "gr[a]ph"
    (tmp_path / ".gr[a]ph.1.part").mkdir()
    assert files.in_use(place) == []
    with files.temporary_folder(place) as folder:
        assert files.in_use(place) == [folder]
        assert files.in_use(tmp_path / "other") == []
    assert files.in_use(place) == [] and not folder.exists()


@pytest.mark.parametrize(
    "text", ["", "{}", "[]", "null", "3", '{"lists": 5}', '{"lists": null}', '{"lists": {', "[" * 100_000]
)
def test_a_record_without_what_it_must_have_counts_as_absent(tmp_path: Path, text: str) -> None:
    (tmp_path / "mark.json").write_text(text)
    assert files.read_record(tmp_path / "mark.json", lists=dict) is None
    assert files.read_record(tmp_path / "none.json", lists=dict) is None
    (tmp_path / "mark.json").write_text('{"lists": {}, "more": 1}')
    assert files.read_record(tmp_path / "mark.json", lists=dict) == {"lists": {}, "more": 1}
