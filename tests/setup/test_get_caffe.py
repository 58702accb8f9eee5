"""setup/get_caffe.sh installs Caffe completely or not at all. Each failure says what to do next.

Bringing real Caffe takes half a minute, and every other test stands on its result. Here, small packages of our own with
the same layout go the same way, from a folder of .debs (CAFFE_DEBS).
"""

import os
import re
import shutil
import signal
import subprocess
import time
from pathlib import Path

import pytest

from tests.helpers.debian_mirror import deb, suite
from tests.helpers.file_stamp import stamp
from tests.helpers.shell_scripts import before_path, environment, path_without, run, stand_in

LOADER = "lib/x86_64-linux-gnu/ld-2.31.so"
STARTS = 'shift 3; exec "$@"'  # after --inhibit-cache --library-path PATHS comes the program
PROGRAMS = {
    "caffe": 'echo "caffe version 1.0.0: $*"',
    "caffe-gtest": ":",
    "convert_imageset": ":",
    "perl": ":",
    "python3.9": 'echo "home $PYTHONHOME, path $PYTHONPATH"',
}


def kept(folder: Path, loader: str = STARTS) -> Path:
    """A folder as CAFFE_KEEP_DEBS writes it."""
    folder.mkdir()
    deb(folder, "libc6", {LOADER: loader})
    programs = {f"usr/bin/{name}": script for name, script in PROGRAMS.items()}
    deb(folder, "caffe", programs | {"usr/share/doc/caffe/copyright": "", "usr/lib/python3/dist-packages/caffe/x": ""})
    sums = subprocess.run("sha256sum -- *.deb", shell=True, cwd=folder, capture_output=True, text=True, check=True)
    (folder / "SHA256SUMS").write_text(sums.stdout)
    return folder


@pytest.fixture(scope="module")
def debs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return kept(tmp_path_factory.mktemp("kept") / "the debs")


@pytest.fixture
def script(checkout: Path) -> Path:
    return checkout / "setup" / "get_caffe.sh"


@pytest.fixture
def dest(tmp_path: Path) -> Path:
    return tmp_path / "a folder" / "caffe"


def left(dest: Path) -> list[str]:
    """What lies where DEST was to be, besides the lock and the unfinished work."""
    here = {file.name for file in dest.parent.iterdir()} if dest.parent.exists() else set()
    return sorted(here - {f"{dest.name}.lock", f"{dest.name}.part"})


def test_kept_debs_become_commands_that_work_in_a_path_with_spaces_and_after_a_move(script, debs, dest):
    done = run("sh", script, dest, CAFFE_DEBS=debs)
    assert done.returncode == 0, done.stderr
    assert left(dest) == ["caffe"] and not dest.with_name("caffe.part").exists()

    moved = dest.rename(dest.parent / "moved")
    assert run(moved / "caffe", "train", "--solver=a b").stdout == "caffe version 1.0.0: train --solver=a b\n"
    python = run(moved / "pycaffe", CAFFE_PYTHONPATH="/my layers", PYTHONPATH="/of/another/python")
    assert python.stdout == f"home {moved}/usr, path /my layers\n"
    assert (moved / "usr/lib/python3/dist-packages/skimage/io.py").exists()
    # what came along and is not Caffe's is gone
    assert not (moved / "usr/bin/perl").exists() and not (moved / "usr/share").exists()


def test_a_second_call_does_nothing(script, debs, dest):
    run("sh", script, dest, CAFFE_DEBS=debs)
    before = stamp(dest / "caffe")
    done = run("sh", script, dest, CAFFE_DEBS="/nowhere", CAFFE_MIRROR="file:/nowhere")
    assert done.returncode == 0 and "nothing to do" in done.stdout
    assert stamp(dest / "caffe") == before


def test_the_debs_of_a_call_can_be_kept_for_another_machine(script, debs, dest, tmp_path):
    assert run("sh", script, dest, CAFFE_DEBS=debs, CAFFE_KEEP_DEBS=tmp_path / "again").returncode == 0
    assert sorted(os.listdir(tmp_path / "again")) == ["SHA256SUMS", "caffe_1_amd64.deb", "libc6_1_amd64.deb"]
    assert run("sh", script, tmp_path / "other", CAFFE_DEBS=tmp_path / "again").returncode == 0
    # a complete DEST has no .debs to keep, and says so instead of leaving the folder empty
    late = run("sh", script, dest, CAFFE_KEEP_DEBS=tmp_path / "late")
    assert late.returncode == 1 and "name another DEST" in late.stderr


def test_a_damaged_deb_is_named_and_nothing_appears(script, dest, tmp_path):
    damaged = kept(tmp_path / "damaged")
    with open(damaged / "libc6_1_amd64.deb", "ab") as file:
        file.write(b"!")
    done = run("sh", script, dest, CAFFE_DEBS=damaged)
    assert done.returncode == 1
    assert "libc6_1_amd64.deb: FAILED" in done.stderr and "copy the folder again" in done.stderr
    assert left(dest) == []


def test_a_folder_without_checksums_is_refused(script, dest, tmp_path):
    done = run("sh", script, dest, CAFFE_DEBS=tmp_path)
    assert done.returncode == 1 and "has no SHA256SUMS" in done.stderr


def test_what_does_not_start_does_not_appear(script, dest, tmp_path):
    broken = kept(tmp_path / "broken", loader="echo 'version `GLIBC_2.31 not found' >&2; exit 127")
    done = run("sh", script, dest, CAFFE_DEBS=broken)
    assert done.returncode == 1 and "caffe --version failed" in done.stderr and "GLIBC_2.31 not found" in done.stderr
    assert left(dest) == []


def test_a_folder_of_someone_elses_is_left_as_it_is(script, debs, dest):
    dest.mkdir(parents=True)
    (dest / "thesis.tex").write_text("years of work")
    done = run("sh", script, dest, CAFFE_DEBS=debs)
    assert done.returncode == 1 and "not made by this script" in done.stderr
    assert os.listdir(dest) == ["thesis.tex"]


def test_after_kill_9_while_unpacking_a_second_call_ends_well(script, debs, dest, tmp_path):
    stuck = tmp_path / "stuck"
    stand_in(tmp_path / "bin", "dpkg-deb", f"touch '{stuck}'; exec sleep 60")
    settings = environment(CAFFE_DEBS=debs, PATH=before_path(tmp_path / "bin"))
    first = subprocess.Popen(["sh", script, dest], env=settings, stdout=subprocess.DEVNULL, start_new_session=True)
    while not stuck.exists():
        assert first.poll() is None, "the call ended before it unpacked"
        time.sleep(0.01)
    os.killpg(first.pid, signal.SIGKILL)
    first.wait()
    assert left(dest) == []

    done = run("sh", script, dest, CAFFE_DEBS=debs)
    assert done.returncode == 0, done.stderr
    assert left(dest) == ["caffe"] and run(dest / "caffe").returncode == 0


def test_two_calls_at_once_do_not_clash(script, debs, dest):
    calls = [
        subprocess.Popen(["sh", script, dest], env=environment(CAFFE_DEBS=debs), stdout=subprocess.PIPE, text=True)
        for _ in range(2)
    ]
    said = [call.communicate()[0] for call in calls]
    assert [call.returncode for call in calls] == [0, 0]
    assert sorted("done: " in text for text in said) == [False, True]  # one worked, the other waited and found it done
    assert left(dest) == ["caffe"]


def test_another_architecture_is_told_how_to_get_caffe_otherwise(script, debs, dest, tmp_path):
    stand_in(tmp_path / "bin", "dpkg", "echo arm64")
    done = run("sh", script, dest, CAFFE_DEBS=debs, PATH=before_path(tmp_path / "bin"))
    assert done.returncode == 1 and "this machine is arm64" in done.stderr and "CAFFE=" in done.stderr


@pytest.mark.parametrize("missing", ["dpkg-deb", "apt-get"])
def test_a_system_other_than_debian_is_told_what_it_lacks(script, dest, tmp_path, missing):
    done = run("/bin/sh", script, dest, PATH=path_without(tmp_path / "bin", missing))
    assert done.returncode == 1 and "this is not Debian" in done.stderr and "CAFFE=" in done.stderr


def test_a_full_disk_is_an_error_before_anything_is_written(script, debs, dest, tmp_path):
    stand_in(tmp_path / "bin", "df", "printf 'head\\ndisk 10 9 102400 90%% /\\n'")
    done = run("sh", script, dest, CAFFE_DEBS=debs, PATH=before_path(tmp_path / "bin"))
    assert done.returncode == 1 and "100 MB free" in done.stderr
    assert left(dest) == [] and not dest.with_name("caffe.part").exists()


@pytest.mark.parametrize("character", [":", ";", "$"])
def test_a_path_that_the_loader_would_misread_is_refused(script, debs, tmp_path, character):
    done = run("sh", script, tmp_path / f"a{character}b", CAFFE_DEBS=debs)
    assert done.returncode == 1 and "name another DEST" in done.stderr


# --- mirrors: local ones, so that no test asks the network


def mirror(folder: Path) -> str:
    """A mirror with an index of bullseye that nobody has signed."""
    suite = folder / "dists" / "bullseye"
    (suite / "main" / "binary-amd64").mkdir(parents=True)
    (suite / "main" / "binary-amd64" / "Packages").write_text("")
    (suite / "Release").write_text("Origin: Debian\nSuite: oldoldstable\nCodename: bullseye\nComponents: main\n")
    return f"file:{folder}"


def test_where_bullseye_has_left_the_mirror_the_settings_that_help_are_named(script, dest, tmp_path):
    done = run("sh", script, dest, CAFFE_MIRROR=f"file:{tmp_path}/gone", CAFFE_SECURITY_MIRROR="")
    assert done.returncode == 1
    assert "E: " in done.stderr, "apt's own words"
    assert "CAFFE_MIRROR=URL" in done.stderr and "CAFFE_DEBS=FOLDER" in done.stderr
    assert left(dest) == []


def test_where_bullseye_has_left_the_mirror_kept_debs_still_give_caffe(script, debs, dest, tmp_path):
    gone = {"CAFFE_MIRROR": f"file:{tmp_path}/gone", "CAFFE_SECURITY_MIRROR": ""}
    assert run("sh", script, dest, **gone).returncode == 1
    assert run("sh", script, dest, **gone, CAFFE_DEBS=debs).returncode == 0


@pytest.mark.skipif(not shutil.which("gpg"), reason="no gpg here, to sign a snapshot with")
def test_where_bullseye_has_left_the_mirror_a_snapshot_still_gives_caffe(script, tmp_path, tmp_path_factory):
    snapshot, keyring = signed_snapshot(tmp_path, script, tmp_path_factory.mktemp("k"))
    settings = {"CAFFE_MIRROR": f"file:{tmp_path}/gone {snapshot}", "CAFFE_SECURITY_MIRROR": ""}
    done = run("sh", script, tmp_path / "again", **settings, CAFFE_KEYRING=keyring)
    assert done.returncode == 0, done.stderr
    assert run(tmp_path / "again" / "caffe").returncode == 0


def signed_snapshot(folder: Path, script: Path, gnupg: Path) -> tuple[str, Path]:
    """(the address, the keyring) of a mirror with every package that the script asks for; Caffe's brings the loader."""
    lists = (script.parent / "get_caffe_debs.sh").read_text()
    names = " ".join(re.findall(r'^(?:packages|without_dependencies)="([^"]*)"', lists, re.M)).split()
    pool = folder / "snapshot" / "pool"
    programs = {LOADER: STARTS} | {f"usr/bin/{program}": text for program, text in PROGRAMS.items()}
    programs |= {"usr/lib/python3/dist-packages/caffe/x": ""}
    packages = [deb(pool, name, programs if name == "caffe" else {}) for name in names]
    return f"copy:{folder}/snapshot", suite(folder / "snapshot", "bullseye", packages, gnupg)


def test_an_unsigned_mirror_is_refused(script, dest, tmp_path):
    done = run("sh", script, dest, CAFFE_MIRROR=mirror(tmp_path / "mirror"), CAFFE_SECURITY_MIRROR="")
    assert done.returncode == 1 and "is not signed" in done.stderr
    assert left(dest) == []


def test_a_missing_keyring_is_named(script, dest, tmp_path):
    done = run("sh", script, dest, CAFFE_KEYRING=tmp_path / "none.gpg", CAFFE_MIRROR=mirror(tmp_path / "mirror"))
    assert done.returncode == 1 and "none.gpg" in done.stderr and "debian-archive-keyring" in done.stderr


def test_a_machine_without_sources_is_told_to_name_a_mirror(script, dest, tmp_path):
    (tmp_path / "apt.conf").write_text('Dir::Etc::sourcelist "/dev/null"; Dir::Etc::sourceparts "/dev/null";')
    done = run("sh", script, dest, APT_CONFIG=tmp_path / "apt.conf")
    assert done.returncode == 1 and "apt knows no mirror here" in done.stderr and "CAFFE_MIRROR=URL" in done.stderr
