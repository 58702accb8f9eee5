"""setup/get_caffe_source.sh: Caffe's source from a mirror or a kept folder, or a message that says what to set.

Checksums are pinned in the script: here, of two small files of the same names, in a copy of it.
"""

import hashlib
import os
import shutil
from pathlib import Path

import pytest

from tests.helpers.shell_scripts import run

NAMES = ["caffe_1.0.0+git20180821.99bd997.orig.tar.gz", "caffe_1.0.0+git20180821.99bd997-8.debian.tar.xz"]
POOL = "pool/main/c/caffe"


@pytest.fixture
def kept(tmp_path: Path) -> Path:
    """What a call made."""
    folder = tmp_path / "the source"
    folder.mkdir()
    for name in NAMES:
        (folder / name).write_text(f"what {name} holds")
    return folder


@pytest.fixture
def script(checkout: Path, kept: Path, tmp_path: Path) -> Path:
    """The script, with the checksums of the small files in the place of its own."""
    setup = tmp_path / "setup"
    setup.mkdir()
    shutil.copy(checkout / "setup" / "shell_common.sh", setup)
    text = (checkout / "setup" / "get_caffe_source.sh").read_text()
    for name in NAMES:
        before, _, after = text.partition(f"  {name}")
        assert after, f"{name} is pinned"
        text = before[:-64] + hashlib.sha256((kept / name).read_bytes()).hexdigest() + f"  {name}" + after
    (setup / "get_caffe_source.sh").write_text(text)
    return setup / "get_caffe_source.sh"


@pytest.fixture
def dest(tmp_path: Path) -> Path:
    return tmp_path / "a folder" / "source"


def mirror(folder: Path, kept: Path | None = None) -> str:
    """A mirror on this disk, with Caffe's source or, as bullseye will leave it, without."""
    pool = folder / POOL
    pool.mkdir(parents=True)
    if kept:
        shutil.copytree(kept, pool, dirs_exist_ok=True)
    return f"file:{folder}"


def test_the_mirror_that_is_named_gives_the_source_and_a_second_call_does_nothing(script, kept, dest, tmp_path):
    done = run("sh", script, dest, CAFFE_MIRROR=mirror(tmp_path / "snapshot", kept))
    assert done.returncode == 0, done.stderr
    assert sorted(os.listdir(dest)) == sorted(NAMES)
    assert [(dest / name).read_text() for name in NAMES] == [(kept / name).read_text() for name in NAMES]
    assert "nothing to do" in run("sh", script, dest, CAFFE_MIRROR="file:/nowhere").stdout


def test_where_bullseye_has_left_the_mirror_the_kept_folder_and_a_snapshot_still_give_it(script, kept, dest, tmp_path):
    gone = mirror(tmp_path / "gone")
    done = run("sh", script, dest, CAFFE_MIRROR=gone)
    assert done.returncode == 1 and not dest.exists()
    assert "E: " in done.stderr and "CAFFE_MIRROR=URL" in done.stderr and "CAFFE_SOURCE=FOLDER" in done.stderr

    assert run("sh", script, dest, CAFFE_MIRROR=gone, CAFFE_SOURCE=kept).returncode == 0
    assert sorted(os.listdir(dest)) == sorted(NAMES)
    both = f"{gone} {mirror(tmp_path / 'snapshot', kept)}"
    assert run("sh", script, tmp_path / "another", CAFFE_MIRROR=both).returncode == 0


@pytest.mark.parametrize("damage", ["changed", "missing"])
def test_a_kept_folder_that_is_not_whole_is_refused_by_the_files_name(script, kept, dest, damage):
    (kept / NAMES[0]).unlink() if damage == "missing" else (kept / NAMES[0]).write_text("something else")
    done = run("sh", script, dest, CAFFE_SOURCE=kept)
    assert done.returncode == 1 and NAMES[0] in done.stderr and "CAFFE_SOURCE=" in done.stderr
    assert not dest.exists()


def test_a_file_that_is_not_debians_is_refused(script, kept, dest, tmp_path):
    site = mirror(tmp_path / "false", kept)
    (tmp_path / "false" / POOL / NAMES[0]).write_text("something else")
    done = run("sh", script, dest, CAFFE_MIRROR=site)
    assert done.returncode == 1 and "Hash Sum mismatch" in done.stderr
    assert not dest.exists()


def test_a_machine_without_sources_is_told_to_name_a_mirror(script, dest, tmp_path):
    (tmp_path / "apt.conf").write_text('Dir::Etc::sourcelist "/dev/null"; Dir::Etc::sourceparts "/dev/null";')
    done = run("sh", script, dest, APT_CONFIG=tmp_path / "apt.conf")
    assert done.returncode == 1 and "apt knows no mirror here" in done.stderr and "CAFFE_MIRROR=URL" in done.stderr
