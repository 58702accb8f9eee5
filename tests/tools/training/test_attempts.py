"""How often a training was started, and from which snapshots it went on."""

from pathlib import Path

import pytest

from tools.protocol.layout import Run
from tools.training.attempts import attempts, count_attempt, note_resumed


@pytest.fixture
def run(root: Path) -> Run:
    return Run("quick", "A2B", 4, "base", 0)


def test_attempts_are_counted_as_long_as_the_inputs_are_the_same(run: Run) -> None:
    assert attempts(run) == 0
    assert [count_attempt(run, {"mean": "a"}) for _ in range(3)] == [1, 2, 3]
    assert attempts(run) == 3
    assert [count_attempt(run, {"mean": "b"}) for _ in range(2)] == [1, 2]


def test_only_what_the_net_went_through_is_noted(run: Run) -> None:
    count_attempt(run, {"mean": "a"})
    assert note_resumed(run, None) == []
    for iteration, lineage in ((40, [40]), (80, [40, 80]), (80, [40, 80]), (60, [40, 60]), (20, [20]), (30, [20, 30])):
        count_attempt(run, {"mean": "a"})
        assert note_resumed(run, iteration) == lineage
    assert attempts(run) == 7
    assert note_resumed(run, None) == []
    note_resumed(run, 20)
    count_attempt(run, {"mean": "b"})
    assert note_resumed(run, 40) == [40], "another training"
