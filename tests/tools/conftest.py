"""What the tests of the pipeline share: a project root of their own, a web server on this machine."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.helpers.file_server import FileServer


@pytest.fixture
def server() -> Iterator[FileServer]:
    server = FileServer()
    yield server
    server.close()


@pytest.fixture
def root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty project root, the current folder, where no setting names another engine than BVLC Caffe."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("CAFFE", raising=False)
    return tmp_path
