"""benchmarks/page.py writes its record where it was told to, seen from the folder in which it was started."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.helpers import browser

pytestmark = [pytest.mark.slow, pytest.mark.skipif(browser.MISSING is not None, reason=str(browser.MISSING))]


def test_the_record_is_in_the_folder_that_is_named(checkout: Path, tmp_path: Path) -> None:
    environment = os.environ | {"PYTHONPATH": str(checkout), "RUNS": "50"}
    (tmp_path / "records").mkdir()
    command = [sys.executable, "-m", "benchmarks.page", "--record", "records"]
    subprocess.run(command, cwd=tmp_path, env=environment, check=True)
    (table,) = json.loads((tmp_path / "records" / "page.json").read_text())["tables"]
    assert [row[0] for row in table["rows"]][1:] == ["sort by accuracy", "filter by a word", "open a run's curves"]
