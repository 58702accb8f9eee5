"""Files appear complete or not at all: with a full disk or a limit on their size, no part is left behind."""

import os
import re
import resource
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.helpers import engine_runs


@pytest.fixture
def little_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of one megabyte."""
    folder = tmp_path / "disk"
    folder.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", folder]
    if os.geteuid() != 0 or subprocess.run(mount, capture_output=True).returncode:
        pytest.skip("needs the right to mount a tmpfs")
    yield folder
    subprocess.run(["umount", folder], check=True)


@pytest.mark.parametrize("format_", ["BINARYPROTO", "HDF5"])
def test_a_full_disk_is_told_and_leaves_no_partial_snapshot(experiment: Path, little_disk: Path, format_: str) -> None:
    settings = {"max_iter": 1, "snapshot": 1, "snapshot_prefix": f'"{little_disk}/out"', "snapshot_format": format_}
    (experiment / "full.prototxt").write_text(engine_runs.solver_text(**settings, test_interval=9))
    found = engine_runs.ours(experiment, "train", "--solver=full.prototxt")
    ending = ".h5" if format_ == "HDF5" else ""
    assert found.code == 134
    message = (
        f"{little_disk}/out_iter_1.caffemodel{ending}: cannot be written: No space left on device; nothing was left"
    )
    assert re.search(rf"^F.*Check failed: {re.escape(message)} there$", found.log, re.MULTILINE), found.log[-1000:]
    assert list(little_disk.iterdir()) == []


def test_a_file_that_may_not_grow_leaves_no_partial_snapshot(experiment: Path) -> None:
    before = sorted(experiment.iterdir())
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (500_000, hard))
    try:
        (experiment / "limited.prototxt").write_text(
            engine_runs.solver_text(max_iter=1, snapshot_prefix='"limited"', test_interval=9)
        )
        found = engine_runs.ours(experiment, "train", "--solver=limited.prototxt")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert found.code == 134
    assert "limited_iter_1.caffemodel: cannot be written: File too large; nothing was left there" in found.log
    assert sorted(experiment.iterdir()) == sorted([*before, experiment / "limited.prototxt"])
