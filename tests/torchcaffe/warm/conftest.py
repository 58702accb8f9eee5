"""What the tests of a warm start share."""

from collections.abc import Iterator

import pytest

from tests.helpers.warm_calls import make_warm, no_parent_left


@pytest.fixture
def cold() -> Iterator[None]:
    """There is no warm parent; one that the test makes is ended."""
    with no_parent_left():
        yield


@pytest.fixture
def warm(cold: None) -> int:
    """There is a warm parent: its process id."""
    return make_warm()
