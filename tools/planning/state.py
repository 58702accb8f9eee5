"""The state of every stage and run of an experiment, and the removal of markers that are out of date.

Snakemake only checks that marker files exist, so stale ones are removed before it starts: a stage's mark is deleted, a
run's manifest is set aside under another name. `run` puts that manifest back if it is up to date after all, for
instance because its source net was trained again to the same bytes.
"""

from dataclasses import dataclass
from typing import Any

from tools.common.files import is_locked
from tools.common.stage import NotReady
from tools.nets.templates import render
from tools.planning.stages import graph_marks, stages_of
from tools.protocol.experiment import Experiment
from tools.protocol.layout import Run, experiment_name, split_of
from tools.protocol.register import card
from tools.protocol.runs import runs_of, source_run
from tools.results.ended_runs import runs_on_disk
from tools.training.engine import Engine
from tools.training.inputs import lacks_predictions, run_stage, trained_weights

TRAINED = ("done", "unscored")  # states in which no training is left to do
WEIGHTS_GONE = "stale: its caffemodel is gone"


@dataclass(frozen=True)
class Plan:
    """stages: verb -> whether it is complete, in the graph's order.

    runs: the experiment's runs and their states: done, unscored, `stale: what changed`, running, failed or waiting.
    """

    stages: dict[str, bool]
    runs: dict[Run, str]

    @property
    def remaining(self) -> list[Run]:
        return [run for run, state in self.runs.items() if state != "done"]

    @property
    def untrained(self) -> list[Run]:
        return [run for run, state in self.runs.items() if state not in TRAINED]

    @property
    def is_complete(self) -> bool:
        return all(self.stages.values()) and not self.remaining


def check_templates(exp: Experiment, engine: Engine) -> None:
    """Raises UserError or FormatError, before any work, if the templates do not fit the experiment."""
    for run in runs_of(exp, engine.name):
        render(exp, run, None if split_of(exp, run.seed).marker.exists() else _presumed_split(exp))


def _presumed_split(exp: Experiment) -> dict[str, Any]:
    """The split that the published data set will give, from its card; for other images the smallest possible one."""
    about = card(exp.dataset)
    counts = about.counts if about.is_published and not exp.path else {"classes": 2, "val": 0}
    half = {"classes": [""] * (counts["classes"] // 2), "counts": {"val": counts["val"] // 2}}
    return {key: {"A": value, "B": value} for key, value in half.items()}


def make_plan(exp: Experiment, engine: Engine) -> Plan:
    """Finds the state of all stages and runs. Changes nothing."""
    complete = {
        name: all(stage.is_complete for stage in stages) for name, stages in stages_of(exp, engine.name).items()
    }
    states = {run: run_state(exp, run, engine) for run in runs_of(exp, engine.name)}
    _mark_missing_weights(exp, states)
    return Plan(complete, states)


def run_state(exp: Experiment, run: Run, engine: Engine) -> str:
    """One of the states of a Plan. `unscored` is up to date, but lacks predictions that its net can still make."""
    if is_locked(run.lock):
        return "running"
    stage = run_stage(exp, run, engine)
    manifest = stage.record
    if manifest is None or "inputs" not in manifest:
        return "failed" if run.failed.exists() else "waiting"
    try:
        changed = stage.changed(manifest)
    except NotReady:
        return "waiting"
    if changed:
        return f"stale: {', '.join(changed)} changed"
    return "unscored" if lacks_predictions(run, manifest) else "done"


def _mark_missing_weights(exp: Experiment, states: dict[Run, str]) -> None:
    """Marks a source run whose caffemodel is gone (keep_models) as stale if a run still has to copy from it."""
    for run in reversed(list(states)):  # sources last: one that is trained again needs its own source's net
        source = source_run(exp, run)
        if states[run] in TRAINED or source is None or states.get(source) != "done":
            continue
        if not trained_weights(source)[0].exists():
            states[source] = WEIGHTS_GONE


def remove_stale_markers(exp: Experiment, engine: Engine, plan: Plan) -> None:
    """Deletes or creates the graph's marks as the plan says, and sets aside the manifests of stale runs."""
    upstream = True
    marks = graph_marks(exp, engine.name)
    for stage, complete in plan.stages.items():
        upstream = upstream and complete and (stage != "summarize" or not plan.remaining)
        if upstream:
            marks[stage].parent.mkdir(parents=True, exist_ok=True)
            marks[stage].touch()
        else:
            marks[stage].unlink(missing_ok=True)
    for run in plan.remaining:
        if run.manifest.exists():
            if plan.runs[run] == WEIGHTS_GONE:
                (run.folder / "train.json").unlink(missing_ok=True)
                run.manifest.rename(run.previous_manifest)
            else:
                run.manifest.rename(run.stale_manifest)
    for run in _others_on_disk(exp, engine):
        source = source_run(exp, run)
        source_state = plan.runs.get(source, "done") if source else "done"
        if run_state(exp, run, engine).startswith("stale") or source_state not in TRAINED:
            run.manifest.rename(run.stale_manifest)


def _others_on_disk(exp: Experiment, engine: Engine) -> list[Run]:
    """Finished runs of the experiment that it does not select now. They are in its tables, too."""
    selected = set(runs_of(exp, engine.name))
    name = experiment_name(exp, engine.name)
    runs = [*runs_on_disk(name), *runs_on_disk(name, retained=True)]
    return [run for run in runs if run not in selected and run.manifest.exists()]
