"""Running shell scripts with a PATH of their own, and stand-ins for programs of the machine."""

import os
import subprocess
import zipfile
from pathlib import Path

# what the scripts themselves call of a minimal Debian, besides the program that a test is about
BASE = """
    apt-config apt-get awk cat chmod cp cut df dirname dpkg dpkg-deb du env flock grep head id ls mkdir mv nproc
    readlink rm rmdir sed sh sha256sum sleep tail tar touch tr wc xargs
"""


def run(*command: object, cwd: Path | None = None, **settings: object) -> subprocess.CompletedProcess:
    """Runs a command with `settings` in its environment; of the caller's own, no CAFFE_ setting and no colours."""
    return subprocess.run(list(map(str, command)), env=environment(**settings), cwd=cwd, capture_output=True, text=True)


def environment(**settings: object) -> dict[str, str]:
    own = {name: value for name, value in os.environ.items() if not name.startswith("CAFFE")}
    return own | {name: str(value) for name, value in settings.items()}


def stand_in(folder: Path, name: str, script: str) -> Path:
    """Writes a program `name` into `folder`, a shell script with these lines."""
    folder.mkdir(parents=True, exist_ok=True)
    program = folder / name
    program.write_text(f"#!/bin/sh\n{script}\n")
    program.chmod(0o755)
    return program


def before_path(folder: Path) -> str:
    return f"{folder}{os.pathsep}{os.environ['PATH']}"


def path_without(folder: Path, *names: str) -> str:
    """A PATH with all that the scripts call, except `names`."""
    folder.mkdir(parents=True, exist_ok=True)
    for name in set(BASE.split()) - set(names):
        program = next(p for place in ("/usr/bin", "/bin", "/usr/sbin", "/sbin") if (p := Path(place) / name).exists())
        (folder / name).symlink_to(program)
    return str(folder)


def wheel(folder: Path, name: str, version: str) -> Path:
    """A pure Python package with one module that knows its version."""
    file = folder / f"{name}-{version}-py3-none-any.whl"
    about = f"{name}-{version}.dist-info"
    files = {
        f"{name}.py": f"VERSION = {version!r}\n",
        f"{about}/METADATA": f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n",
        f"{about}/WHEEL": "Wheel-Version: 1.0\nGenerator: a test\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
    }
    with zipfile.ZipFile(file, "w") as archive:
        for path, text in files.items():
            archive.writestr(path, text)
        archive.writestr(f"{about}/RECORD", "".join(f"{path},,\n" for path in [*files, f"{about}/RECORD"]))
    return file
