"""Which runs an experiment has, and what each copies from, trains on and subtracts: the one place that knows it."""

from dataclasses import replace
from pathlib import Path

from caffeformat import prototxt
from caffeformat.caffeformat_pb2 import NetParameter
from tools.common.errors import UserError
from tools.protocol.conditions import Condition, controls
from tools.protocol.experiment import Experiment
from tools.protocol.layout import NET, Half, Run, Size, experiment_name, split_of, template
from tools.protocol.weighted_layers import weighted_blocks


def runs_of(exp: Experiment, engine: str) -> list[Run]:
    """Every run that the experiment selects and every source run that these need, sources first."""
    name = experiment_name(exp, engine)
    selected = [
        Run(name, direction, size, condition, seed)
        for seed in exp.seeds
        for size in exp.sizes
        for condition in conditions(exp)
        for direction in exp.directions
    ]
    every, found = selected, selected
    while found := [source for run in found if (source := source_run(exp, run))]:
        every = [*found, *every]
    return list(dict.fromkeys(every))


def conditions(exp: Experiment) -> list[str]:
    """The experiment's conditions, with their controls where it asks for them."""
    if not exp.controls:
        return exp.conditions
    net, file = net_template(exp)
    return [*exp.conditions, *controls(exp.conditions, len(weighted_blocks(net, file)))]


def find_run(exp: Experiment, engine: str, key: str) -> Run:
    """The run of `exp` with this key (`A2B/n0300/S3T/seed0`); raises UserError naming what is there."""
    every = runs_of(exp, engine)
    for run in every:
        if run.key == key.strip("/") or str(run.folder) == key.rstrip("/"):
            return run
    raise UserError(f"{exp.file}: no run {key!r}; there are {len(every)}, from {every[0].key} to {every[-1].key}")


def condition_of(run: Run) -> Condition:
    return Condition.parse("base" if run.condition == "source" else run.condition)


def source_run(exp: Experiment, run: Run) -> Run | None:
    """The run whose net `run` copies from, None for one that copies nothing.

    The source net of A2B is the full-size `base` run on A: that is B2A/n0500/base. With `mean: source` that run
    subtracts the mean of B, so the source net is a run of its own. A selffer control (TnT) copies from the `base` run
    on its own target set: one on the whole half would have seen the images that the target set leaves out.
    """
    condition = condition_of(run)
    if condition.retained:
        return replace(run, condition=condition.retained.name)
    if condition.origin is None:
        return None
    if condition.origin == "self":
        return replace(run, condition="base")
    back = "B2A" if run.direction == "A2B" else "A2B"
    condition = "base" if exp.mean == "target" else "source"
    return Run(run.experiment, back, exp.full_size, condition, run.seed)


def train_set(exp: Experiment, run: Run) -> tuple[Half, Size]:
    """The half and size that a run trains on: its target set; for what it retained, all of the source half."""
    return (run.source, exp.full_size) if condition_of(run).retained else (run.target, run.size)


def mean_of(exp: Experiment, run: Run) -> Path:
    """The mean file that a run subtracts, in training and test alike."""
    split = split_of(exp, run.seed)
    if run.condition != "source" and exp.mean == "source":
        return split.mean(run.source, exp.full_size)
    return split.mean(*train_set(exp, run))


def random_seed(exp: Experiment, run: Run) -> int:
    """The solver's `random_seed`: the run's seed (or init_seed), and 1000 more for each net that it is copied through:
    none for base, one for FTall and SnT.

    Caffe draws in layer order, renamed or not: from the seed of its source net a target net's random layers would start
    where the source net's own began, which is not far from what it learnt.
    """
    copies, at = 0, run
    while at := source_run(exp, at):
        copies += 1
    return (run.seed if exp.init_seed is None else exp.init_seed) + 1000 * copies


def net_template(exp: Experiment) -> tuple[NetParameter, Path]:
    """The experiment's net as its template has it, and the template's file."""
    file = template("prototxt", exp.model) / NET
    if not file.exists():
        raise exp.fault("model", exp.model, f"a folder of prototxt/ with a {NET} in it")
    return prototxt.read_net(file), file
