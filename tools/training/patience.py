"""How long a training may print nothing before it counts as hanging."""

from caffeformat import prototxt
from caffeformat.caffeformat_pb2 import SolverParameter
from tools.common.files import read_json
from tools.nets.templates import SOLVER, Rendered
from tools.protocol.experiment import Experiment
from tools.protocol.layout import Run, results_folder
from tools.training.engine import Engine
from tools.training.output import silence_allowed

MEASURED = "iteration.json"  # in results/<experiment>/: what `sweep` measured
_TIMES = 50.0  # how much slower a training may be than the measurement
_LEAST = 600.0  # seconds, however short an iteration is


def training_silence(exp: Experiment, run: Run, engine: Engine, gpu: str | None, rendered: Rendered) -> float:
    """Seconds without a line of output after which a training is ended.

    ENGINE_SILENCE where it is set. Else, where an iteration was measured with this engine on this kind of device, 50
    times what lies between two lines, and at least ten minutes. Between two lines are `display` iterations, or a whole
    test, of which an iteration counts as one of training. Else an hour.
    """
    file = results_folder(exp, engine.name) / MEASURED
    record = read_json(file)
    entries = record.values() if isinstance(record, dict) else []
    seconds = [
        float(entry["seconds"])
        for entry in entries
        if isinstance(entry, dict) and entry.get("engine") == engine.version
        if str(entry.get("device", "")).startswith("cpu") == (gpu is None)
        if isinstance(entry.get("seconds"), (int, float))
    ]
    if not seconds:
        return silence_allowed()
    solver = prototxt.parse(rendered.solver, SolverParameter(), str(run.folder / SOLVER))
    between = max([solver.display, *solver.test_iter])
    return silence_allowed(max(_LEAST, _TIMES * max(seconds) * between))
