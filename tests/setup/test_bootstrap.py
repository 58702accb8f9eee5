"""setup/bootstrap.sh makes a complete environment or none, and says what to do if Python is missing.

A checkout of our own pins one small wheel that lies beside it, so that no test asks the network.
"""

import hashlib
import os
import re
import shutil
import signal
import subprocess
import time
from pathlib import Path

import pytest

from tests.helpers.shell_scripts import before_path, environment, path_without, run, stand_in, wheel

pytestmark = pytest.mark.slow


class Checkout:
    def __init__(self, root: Path, scripts: Path) -> None:
        self.root = root
        shutil.copytree(scripts, root / "setup", ignore=lambda _, names: [n for n in names if not n.endswith(".sh")])
        self.pin("small", "1.0")

    @property
    def venv(self) -> Path:
        return self.root / ".venv"

    def pin(self, name: str, version: str, digest: str = "") -> None:
        """`digest`: instead of the wheel's own sha256."""
        file = wheel(self.root, name, version)
        digest = digest or hashlib.sha256(file.read_bytes()).hexdigest()
        (self.root / "requirements.txt").write_text(f"{name} @ {file.as_uri()} --hash=sha256:{digest}\n")

    def bootstrap(self, *arguments: object, **settings: object) -> subprocess.CompletedProcess:
        return run("sh", self.root / "setup" / "bootstrap.sh", *arguments, PIP_NO_INDEX=1, **settings)

    def version(self, name: str = "small") -> str:
        return run(self.venv / "bin" / "python", "-c", f"import {name}; print({name}.VERSION)").stdout.strip()


@pytest.fixture
def bare(checkout: Path, tmp_path: Path) -> Checkout:
    return Checkout(tmp_path / "a project", checkout / "setup")


@pytest.fixture(scope="module")
def made(checkout: Path, tmp_path_factory: pytest.TempPathFactory) -> Checkout:
    """Made once, for that takes seconds; not to be changed."""
    made = Checkout(tmp_path_factory.mktemp("made") / "a project", checkout / "setup")
    done = made.bootstrap()
    assert done.returncode == 0, done.stderr
    return made


@pytest.fixture
def ready(made: Checkout, bare: Checkout) -> Checkout:
    """A copy of it that a test may change, and that knows its own place."""
    shutil.copytree(made.venv, bare.venv, symlinks=True)
    shutil.copyfile(made.root / "requirements.txt", bare.root / "requirements.txt")
    stamp = bare.venv / ".requirements"
    stamp.write_text(stamp.read_text().replace(str(made.venv), str(bare.venv)))
    return bare


def test_an_environment_is_made_and_a_second_call_does_nothing(made):
    assert made.version() == "1.0"
    done = made.bootstrap()
    assert done.returncode == 0 and "nothing to do" in done.stdout


def test_changed_requirements_are_installed_and_what_else_was_installed_stays(ready):
    other = wheel(ready.root, "other", "3.0")
    run(ready.venv / "bin" / "python", "-m", "pip", "install", "--no-index", other)
    ready.pin("small", "2.0")
    done = ready.bootstrap()
    assert done.returncode == 0 and "updating" in done.stdout
    assert (ready.version(), ready.version("other")) == ("2.0", "3.0")


def test_an_environment_that_was_moved_counts_neither_as_finished_nor_as_worth_an_update(made, bare, tmp_path):
    # given one whose scripts still name its old place; and no Python to make another, which would take seconds
    shutil.copytree(made.venv, bare.venv, symlinks=True)
    done = bare.bootstrap(PATH=before_path(only_old_python(tmp_path / "bin")))
    assert done.returncode == 1 and "Python 3.9.2 is too old" in done.stderr
    assert bare.version() == "1.0", "what cannot be replaced stays"


def test_after_kill_9_while_installing_a_second_call_ends_well(bare):
    script = bare.root / "setup" / "bootstrap.sh"
    first = subprocess.Popen(
        ["sh", script], env=environment(PIP_NO_INDEX=1), stdout=subprocess.DEVNULL, start_new_session=True
    )
    state = bare.venv / ".requirements"
    while not (state.exists() and (bare.venv / "bin" / "python").exists()):
        assert first.poll() is None, "the call ended before it was killed"
        time.sleep(0.01)
    os.killpg(first.pid, signal.SIGKILL)
    first.wait()
    assert state.read_text() == "unfinished\n"

    done = bare.bootstrap()
    assert done.returncode == 0 and "replacing" in done.stdout
    assert bare.version() == "1.0"


def test_what_pip_cannot_install_leaves_no_environment_that_counts_as_finished(ready):
    (ready.root / "requirements.txt").write_text(f"no-such-package-anywhere==1.0 --hash=sha256:{'0' * 64}\n")
    done = ready.bootstrap()
    assert done.returncode == 1 and "no-such-package-anywhere" in done.stderr and "call again" in done.stderr
    assert (ready.venv / ".requirements").read_text() == "unfinished\n"


def test_a_file_that_is_not_the_pinned_one_is_not_installed(ready):
    ready.pin("small", "2.0", digest="0" * 64)
    done = ready.bootstrap()
    assert done.returncode == 1 and "DO NOT MATCH THE HASHES" in done.stderr and ready.version() == "1.0"
    (ready.root / "requirements.txt").write_text("small @ " + wheel(ready.root, "small", "2.0").as_uri() + "\n")
    done = ready.bootstrap()
    assert done.returncode == 1 and "--require-hashes" in done.stderr and "small" in done.stderr


def test_every_package_of_the_project_is_pinned_with_the_checksums_of_its_files(checkout):
    for name in ("requirements", "docker/requirements"):
        pins = re.findall(
            r"^[\w.-]+==\S+(?: \\\n    --hash=sha256:[0-9a-f]{64})+$", read(checkout / f"{name}.txt"), re.M
        )
        pinned = {pin.split()[0].lower() for pin in pins}
        assert len(pins) == len(re.findall(r"^\w", read(checkout / f"{name}.txt"), re.M))
        wanted = re.findall(r"^([\w.-]+==\S+)", read(checkout / f"{name}.in"), re.M)
        assert wanted and {line.lower() for line in wanted} <= pinned, "`make requirements` was not run"


def read(path: Path) -> str:
    return path.read_text(encoding="utf-8")


def test_a_folder_that_is_no_environment_is_left_as_it_is(bare):
    bare.venv.mkdir()
    (bare.venv / "thesis.tex").write_text("years of work")
    done = bare.bootstrap()
    assert done.returncode == 1 and "remove it, or name another VENV" in done.stderr
    assert os.listdir(bare.venv) == ["thesis.tex"]


def only_old_python(folder: Path) -> Path:
    for name in ("python3", "python3.13", "python3.12", "python3.11"):
        stand_in(folder, name, 'if [ "$1" = --version ]; then echo Python 3.9.2; else exit 1; fi')
    return folder


def test_an_old_python_is_refused_with_its_version(bare, tmp_path):
    done = bare.bootstrap(PATH=before_path(only_old_python(tmp_path / "bin")))
    assert done.returncode == 1 and "Python 3.9.2 is too old" in done.stderr and "3.11 or newer" in done.stderr
    assert not bare.venv.exists()


def test_without_python_a_user_who_is_not_root_is_told_what_to_ask_for(bare, tmp_path):
    path = path_without(tmp_path / "bin", "id")
    stand_in(tmp_path / "bin", "id", 'if [ "$1" = -u ]; then echo 1000; else echo someone; fi')
    done = run("/bin/sh", bare.root / "setup" / "bootstrap.sh", PATH=path)
    assert done.returncode == 1 and "apt-get install python3 python3-venv" in done.stderr
    assert not bare.venv.exists()
