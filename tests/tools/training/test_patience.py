"""How long a training may be silent: an hour, or what a measured iteration says, or what the user says."""

from pathlib import Path
from types import SimpleNamespace

import pytest

from tools.common.files import write_json
from tools.protocol.experiment import Experiment
from tools.protocol.layout import Run
from tools.training.engine import Engine
from tools.training.patience import training_silence

MEASURED = Path("results/quick/iteration.json")
RUN = Run("quick", "A2B", 4, "base", 0)


@pytest.mark.parametrize(
    ("seconds", "device", "solver", "gpu", "silence"),
    [
        (0.01, "cpu, 1 threads", "display: 20 test_iter: 50", None, 600),
        (2.0, "cpu, 1 threads", "display: 20 test_iter: 50", None, 5000),
        (2.0, "cpu, 1 threads", "display: 100 test_iter: 50", None, 10000),
        (2.0, "cpu, 1 threads", "display: 100", "0", 3600),
        (2.0, "0,1", "display: 100", "0", 10000),
        ("x", "cpu", "display: 100", None, 3600),
    ],
)
def test_it_follows_from_the_measured_iteration_of_the_same_kind_of_device(
    trained: Experiment, engine: Engine, seconds: object, device: str, solver: str, gpu: str | None, silence: float
) -> None:
    rendered = SimpleNamespace(solver=solver)
    assert training_silence(trained, RUN, engine, gpu, rendered) == 3600
    entry = {"seconds": seconds, "device": device, "engine": engine.version}
    other = {"seconds": 1000, "device": device, "engine": "another"}
    write_json(MEASURED, {"a": entry, "b": other})
    assert training_silence(trained, RUN, engine, gpu, rendered) == silence
    MEASURED.write_text("[")
    assert training_silence(trained, RUN, engine, gpu, rendered) == 3600


def test_a_setting_comes_first(trained: Experiment, engine: Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ENGINE_SILENCE", "5")
    assert training_silence(trained, RUN, engine, None, SimpleNamespace(solver="display: 1")) == 5
