"""SIGINT and SIGHUP have the effects that flags choose, as in Caffe."""

import re
import signal
from pathlib import Path

import pytest

from tests.helpers import engine_runs
from tests.helpers.engine_processes import engines, started, wait_for
from torchcaffe.common.log import Fatal
from torchcaffe.common.signals import Action, Signals

SIGNALS = {
    "as they are": ([], signal.SIGHUP, signal.SIGINT),
    "the other way round": (["--sigint_effect=snapshot", "-sighup_effect", "stop"], signal.SIGINT, signal.SIGHUP),
}


def test_an_action_is_asked_for_once_by_each_signal_that_has_arrived() -> None:
    before = signal.getsignal(signal.SIGINT), signal.getsignal(signal.SIGHUP)
    with Signals("stop", "snapshot") as signals:
        assert signals.requested_action() is Action.NONE
        signal.raise_signal(signal.SIGINT)
        signal.raise_signal(signal.SIGHUP)
        signal.raise_signal(signal.SIGHUP)
        assert [signals.requested_action() for _ in range(3)] == [Action.SNAPSHOT, Action.STOP, Action.NONE]
    assert (signal.getsignal(signal.SIGINT), signal.getsignal(signal.SIGHUP)) == before


def test_an_unknown_effect_is_refused() -> None:
    with pytest.raises(Fatal, match='Invalid signal effect "pause" was specified'):
        Signals("pause", "none")


@pytest.mark.slow
@pytest.mark.parametrize(("flags", "to_snapshot", "to_stop"), SIGNALS.values(), ids=SIGNALS.keys())
def test_one_signal_snapshots_the_other_snapshots_and_stops(caffe, experiment, flags, to_snapshot, to_stop) -> None:
    endings = {}
    for engine, command in engines(caffe).items():
        command = [*command, "train", "--solver=long.prototxt", *flags]
        process = started(command, experiment, "Iteration 1 ")
        process.send_signal(to_snapshot)
        wait_for(process, "Snapshotting solver state")
        for _ in range(2):
            wait_for(process, "loss = ")
        process.send_signal(to_stop)
        rest = engine_runs.Run(process.wait(), process.stderr.read())
        lines = rest.lines("Snapshotting", "Optimization", "stopped")
        endings[engine] = (rest.code, [re.sub(r"_\d+\.", "_N.", line) for line in lines])
        states = list(experiment.glob("long_iter_*.solverstate"))
        assert len(states) == 2, engine
        for path in experiment.glob("long_iter_*"):
            path.unlink()
    assert endings["torchcaffe"] == endings["caffe"]
    assert endings["caffe"][0] == 0
    assert "I solver.cpp:311] Optimization stopped early." in endings["caffe"][1]


@pytest.mark.slow
def test_a_signal_without_an_effect_is_passed_over(caffe: Path, experiment: Path) -> None:
    for command in engines(caffe).values():
        command = [*command, "train", "--solver=long.prototxt", "--sigint_effect=none", "--sighup_effect=none"]
        process = started(command, experiment, "Iteration 1 ")
        for number in (signal.SIGINT, signal.SIGHUP):
            process.send_signal(number)
            for _ in range(3):
                wait_for(process, "loss = ")
        process.terminate()
        assert process.wait() == -signal.SIGTERM
        process.stderr.close()
    assert not list(experiment.glob("long_iter_*"))
