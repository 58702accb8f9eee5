"""What the tests of the pipeline share: a web server on this machine."""

from collections.abc import Iterator

import pytest
from file_server import FileServer


@pytest.fixture
def server() -> Iterator[FileServer]:
    server = FileServer()
    yield server
    server.close()
