"""Which process owns a warm parent: only one that the caller descends from."""

import os
import subprocess
import sys

import pytest

from tests.helpers.warm_calls import ENVIRONMENT, this_owner
from torchcaffe.warm.owner import VARIABLE, Owner, find_owner, parent_and_start

FIND = "from torchcaffe.warm.owner import find_owner; print(find_owner())"


def found(value: str, *before: str) -> str:
    command = [*before, sys.executable, "-c", FIND]
    return subprocess.run(
        command, env=ENVIRONMENT | {VARIABLE: value}, capture_output=True, text=True, check=True
    ).stdout.strip()


def test_a_parent_and_its_parents_can_be_the_owner() -> None:
    own = this_owner()
    assert found(str(os.getpid())) == found(str(os.getpid()), "sh", "-c", '"$@"; true', "sh") == str(own)
    parent = os.getppid()
    assert found(str(parent)) == str(Owner(parent, parent_and_start(parent)[1]))


def test_another_process_is_no_owner(monkeypatch: pytest.MonkeyPatch) -> None:
    with subprocess.Popen(["sleep", "60"]) as other:
        assert found(str(other.pid)) == "None"
        other.kill()
    for value in ("", "0", "-1", "1.5", "x", "²", "99999999999999999999", str(2**22 + 1)):
        assert found(value) == "None", value
    monkeypatch.delenv(VARIABLE, raising=False)
    assert find_owner() is None


def test_a_later_process_with_the_same_number_is_another_owner() -> None:
    own = this_owner()
    assert own.is_alive() and not own._replace(started=own.started + 1).is_alive()
    assert not Owner(2**22 + 1, 1).is_alive()
    assert own.address != own._replace(started=own.started + 1).address
    assert len(own.address) < 108 and own.address[0] == "\0"
