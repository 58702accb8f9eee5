"""SIGINT and SIGHUP have the effects that flags choose, as in Caffe."""

import re
import signal
from pathlib import Path

import pytest

from tests.helpers import engine_runs
from tests.helpers.engine_processes import engines, started, wait_for

SIGNALS = {
    "as they are": ([], signal.SIGHUP, signal.SIGINT),
    "the other way round": (["--sigint_effect=snapshot", "-sighup_effect", "stop"], signal.SIGINT, signal.SIGHUP),
}


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
