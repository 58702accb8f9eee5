"""The runs of an experiment: what each copies from, trains on and subtracts. No other module decides this."""

from dataclasses import replace
from functools import lru_cache
from pathlib import Path

from caffeformat import prototxt
from caffeformat.caffeformat_pb2 import NetParameter, SolverParameter
from tools.common.checkout import own_file
from tools.common.errors import UserError
from tools.protocol.conditions import SOURCE, Condition, controls
from tools.protocol.experiment import Experiment
from tools.protocol.layout import NET, Direction, Half, Run, Size, experiment_name, split_of
from tools.protocol.weighted_layers import weighted_blocks


def runs_of(exp: Experiment, engine: str) -> list[Run]:
    """The runs that the experiment selects and those that they copy from, directly or indirectly; sources first."""
    name = experiment_name(exp, engine)
    selected = [
        Run(name, direction, size, condition, seed)
        for seed in exp.seeds
        for size in exp.sizes
        for condition in conditions_of(exp)
        for direction in exp.directions
    ]
    runs, newest = selected, selected
    while newest := [source for run in newest if (source := source_run(exp, run))]:
        runs = [*newest, *runs]
    return list(dict.fromkeys(runs))


def conditions_of(exp: Experiment) -> list[str]:
    """The experiment's conditions, and their controls if it has `controls: true`."""
    if not exp.controls:
        return exp.conditions
    net, file = net_template(exp)
    solver, _ = solver_template(exp)
    return [*exp.conditions, *controls(exp.conditions, len(weighted_blocks(net, file, solver)))]


def find_run(exp: Experiment, engine: str, key: str) -> Run:
    """The run of `exp` with this key (`A2B/n0300/S3T/seed0`) or folder. Raises UserError that says which runs exist."""
    runs = runs_of(exp, engine)
    for run in runs:
        if run.key == key.strip("/") or str(run.folder) == key.rstrip("/"):
            return run
    raise UserError(f"{exp.file}: no run {key!r}; there are {len(runs)}, from {runs[0].key} to {runs[-1].key}")


def condition_of(run: Run) -> Condition:
    return Condition.of_run(run.condition)


def source_run(exp: Experiment, run: Run) -> Run | None:
    """The run whose net `run` copies from; None if it copies nothing.

    S conditions and FTall copy from the source net. A selffer control (TnT) copies from the `base` run on its own
    target set: a net trained on the whole half would have seen the images that the target set leaves out. X-retain
    copies from X.
    """
    condition = condition_of(run)
    if condition.retained:
        return replace(run, condition=condition.retained.name)
    if condition.origin is None:
        return None
    return replace(run, condition="base") if condition.origin == "self" else source_net_of(exp, run)


def source_net_of(exp: Experiment, run: Run) -> Run:
    """The source net of a run's direction and seed, whether or not the run copies from it."""
    return source_net(exp, run.experiment, run.source, run.seed)


def source_net(exp: Experiment, experiment: str, half: Half, seed: int) -> Run:
    """The net trained on the whole of `half`; `experiment` is the name with the engine in it.

    With `mean: target` it is the full-size `base` run on that half: that of half A is B2A/n0500/base. With
    `mean: source` every other run into the half subtracts the other half's mean, so the source net is a separate run.
    """
    into: Direction = "B2A" if half == "A" else "A2B"
    return Run(experiment, into, exp.full_size, _source_condition(exp), seed)


def is_source_net(exp: Experiment, size: Size, condition: str) -> bool:
    """Whether runs of this size and condition are source nets."""
    return (size, condition) == (exp.full_size, _source_condition(exp))


def is_copied_from(exp: Experiment, run: Run, engine: str) -> bool:
    """Whether other runs copy from the run's net: from a source net always, from another (TnT) if they are selected."""
    if is_source_net(exp, run.size, run.condition):
        return True
    return run in {source_run(exp, other) for other in runs_of(exp, engine)}


def retain_run(run: Run) -> Run:
    """X-retain, of the run X."""
    return replace(run, condition=condition_of(run).retain_name)


def train_set(exp: Experiment, run: Run) -> tuple[Half, Size]:
    """The half and size that a run trains on: its target set; of X-retain the whole source half."""
    return (run.source, exp.full_size) if condition_of(run).retained else (run.target, run.size)


def lmdbs_of(exp: Experiment, run: Run) -> tuple[Path, Path]:
    """The folders of the LMDBs that a run trains on and is tested on."""
    split, (half, size) = split_of(exp, run.seed), train_set(exp, run)
    return split.train_lmdb(half, size), split.val_lmdb(half)


def mean_of(exp: Experiment, run: Run) -> Path:
    """The mean file that a run subtracts, both in training and in test."""
    split = split_of(exp, run.seed)
    if run.condition != SOURCE and exp.mean == "source":
        return split.mean(run.source, exp.full_size)
    return split.mean(*train_set(exp, run))


def random_seed(exp: Experiment, run: Run) -> int:
    """The solver's `random_seed`: the run's seed (or init_seed), plus 1000 for each net that it is copied through.

    base: plus 0; FTall and SnT: plus 1000. Caffe draws in layer order, whatever the layers are called. With the seed of
    its source net, a target net's random layers would start at the very values where the source net's own started.
    """
    copies, at = 0, source_run(exp, run)
    while at:
        copies, at = copies + 1, source_run(exp, at)
    return (run.seed if exp.init_seed is None else exp.init_seed) + 1000 * copies


def net_template(exp: Experiment) -> tuple[NetParameter, Path]:
    """The experiment's net as its template has it, and the template's file."""
    file = own_file("prototxt", exp.model) / NET
    if not file.exists():
        raise exp.fault("model", exp.model, f"a folder of prototxt/ with a {NET} in it")
    net = NetParameter()
    net.CopyFrom(_net_in(file, file.read_bytes()))
    return net, file


def solver_template(exp: Experiment) -> tuple[SolverParameter, Path]:
    """The experiment's solver as its template has it, and the template's file."""
    file = own_file("solvers", f"{exp.solver}.prototxt")
    if not file.exists():
        raise exp.fault("solver", exp.solver, "the name of a file of solvers/, without .prototxt")
    solver = SolverParameter()
    solver.CopyFrom(_solver_in(file, file.read_bytes()))
    return solver, file


@lru_cache(maxsize=8)
def _net_in(file: Path, content: bytes) -> NetParameter:
    """Parsed once for all runs of an experiment. Callers change a copy. A file with another content is parsed again."""
    return prototxt.read_net(file)


@lru_cache(maxsize=8)
def _solver_in(file: Path, content: bytes) -> SolverParameter:
    return prototxt.read_solver(file)


def _source_condition(exp: Experiment) -> str:
    return "base" if exp.mean == "target" else SOURCE
