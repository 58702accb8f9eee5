"""setup/get_slurm.sh: it does nothing where Slurm is there, and where it cannot install it says so and succeeds."""

import subprocess
from pathlib import Path

PROGRAMS = ("munged", "slurmctld", "slurmd", "sbatch")


def call(checkout: Path, folder: Path, **programs: str) -> "subprocess.CompletedProcess[str]":
    """The script with these programs on its PATH, beside those of the shell."""
    for name, text in programs.items():
        (folder / name.replace("_", "-")).write_text(f"#!/bin/sh\n{text}\n")
        (folder / name.replace("_", "-")).chmod(0o755)
    command = [
        "sh",
        "-c",
        'command() { [ "$1" != -v ] || [ -x "$FAKE/$2" ]; }; . "$0"',
        checkout / "setup/get_slurm.sh",
    ]
    environment = {"PATH": f"{folder}:/usr/bin:/bin", "FAKE": str(folder)}
    return subprocess.run(command, env=environment, capture_output=True, text=True, cwd=checkout / "setup")


def test_nothing_is_done_where_slurm_is_there(checkout: Path, tmp_path: Path) -> None:
    process = call(checkout, tmp_path, **dict.fromkeys(PROGRAMS, "exit 9"))
    assert (process.returncode, process.stdout, process.stderr) == (0, "", "")


def test_without_root_the_tests_are_skipped_with_a_message(checkout: Path, tmp_path: Path) -> None:
    process = call(checkout, tmp_path, id="echo 1000")
    assert process.returncode == 0
    assert process.stdout.startswith(
        "get_slurm: no Slurm (it needs root and apt-get), so tests of EXECUTOR=slurm are sk"
    )


def test_no_service_is_started_and_a_failure_of_apt_is_told(checkout: Path, tmp_path: Path) -> None:
    apt = f'echo "$*" >>{tmp_path}/log; sh "$POLICYRCD" || echo "policy $?" >>{tmp_path}/log; exit 100'
    process = call(checkout, tmp_path, id="echo 0", apt_get=apt)
    assert process.returncode == 0 and "(apt-get could not install it)" in process.stdout
    log = (tmp_path / "log").read_text()
    assert "install slurmctld slurmd slurm-client munge" in log and "policy 101" in log
