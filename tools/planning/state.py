"""The state of every stage and run of an experiment, what is to do, and the removal of what is out of date.

Before the graph starts, the manifest of a stale run is set aside under another name, so that no table counts it. `run`
puts it back if it is up to date after all, for instance because its source net was trained again to the same bytes.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from itertools import dropwhile
from pathlib import Path
from typing import Any

from tools.common.files import is_locked, lock_if_free
from tools.common.lmdb_removal import is_removed
from tools.common.stage import NotReady
from tools.nets.templates import render
from tools.planning.stages import DATA, RESULTS, stages_of
from tools.protocol.experiment import Experiment
from tools.protocol.layout import Run, experiment_name, split_of
from tools.protocol.register import card
from tools.protocol.runs import lmdbs_of, runs_of, source_run
from tools.results.ended_runs import runs_on_disk
from tools.training.engine import Engine
from tools.training.inputs import lacks_predictions, run_stage, trained_weights

TRAINED = ("done", "unscored")  # states in which no training is left to do
STALE = "stale"
WEIGHTS_GONE = "stale: its caffemodel is gone"
SOURCE_STALE = "stale: the run that it copies from is stale"


@dataclass(frozen=True)
class Plan:
    """stages: verb -> whether it is complete, in the graph's order.

    runs: the experiment's runs and their states: done, unscored, `stale: what changed`, running, failed or waiting.
    copies: run -> the run that it copies from. outdated: the stages that were made from other inputs than the present.
    removed: folders of LMDBs that `keep_lmdbs` removed, and that a run to do reads.
    """

    stages: dict[str, bool]
    runs: dict[Run, str]
    copies: dict[Run, Run] = field(default_factory=dict)
    outdated: frozenset[str] = frozenset()
    removed: frozenset[Path] = frozenset()

    @property
    def remaining(self) -> list[Run]:
        return [run for run, state in self.runs.items() if state != "done"]

    @property
    def untrained(self) -> list[Run]:
        return [run for run, state in self.runs.items() if state not in TRAINED]

    @property
    def to_do(self) -> list[str]:
        """The verbs to call, in the graph's order: what is not complete, and what reads that.

        Images and lists that are gone are not needed any more if all of them are packed.
        """
        data = self._data_to_do()
        runs_change = bool(data or self.remaining)
        return [*data, *_from_first(RESULTS, lambda verb: runs_change or not self.stages.get(verb, True))]

    def _data_to_do(self) -> list[str]:
        if self.outdated or self.removed or not self.stages.get("pack", False):
            is_again = self.outdated | ({"pack"} if self.removed else set())
            return _from_first(DATA, lambda verb: verb in is_again or not self.stages.get(verb, True))
        return _from_first(("mean",), lambda verb: not self.stages.get(verb, True))

    @property
    def runs_to_do(self) -> list[Run]:
        """The runs to call `run` on: what is not done, and what may have to be done again after it. Sources first.

        That is all of them if data are made again, and otherwise those that copy from a run that is trained. An LMDB
        that was removed is made again to the same bytes.
        """
        same = self.removed and not self.outdated and all(self.stages.get(verb, True) for verb in DATA)
        return list(self.runs) if self._data_to_do() and not same else _and_copies(self.runs, self.copies)

    @property
    def is_complete(self) -> bool:
        return not self.remaining and not self.to_do

    def stage_state(self, verb: str) -> str:
        """done, `to do`, or `not needed` where what it made is gone and nothing is left to read it."""
        if verb in self.to_do:
            return "to do"
        return "done" if self.stages[verb] else "not needed"


def _and_copies(runs: dict[Run, str], copies: dict[Run, Run]) -> list[Run]:
    """The runs that are not done, and those that copy from one of these, directly or indirectly."""
    chosen: dict[Run, None] = {}
    for run, state in runs.items():  # sources first
        if state != "done" or copies.get(run) in chosen:
            chosen[run] = None
    return list(chosen)


def _from_first(verbs: tuple[str, ...], is_to_do: Callable[[str], bool]) -> list[str]:
    """The first of `verbs` that is to do, and those after it."""
    return list(dropwhile(lambda verb: not is_to_do(verb), verbs))


def check_templates(exp: Experiment, engine: Engine) -> None:
    """Raises UserError or FormatError, before any work, if the templates do not fit the experiment."""
    for run in runs_of(exp, engine.name):
        render(exp, run, split_or_presumed(exp, run))


def split_or_presumed(exp: Experiment, run: Run) -> dict[str, Any] | None:
    """None if the run's split is there: `render` reads it. Else the one that the published data set will give.

    Its card and the key `classes` say which. Of other images no number is known: there are no classes, and no
    validation images.
    """
    if split_of(exp, run.seed).marker.exists():
        return None
    about = card(exp.dataset)
    counts = about.counts if about.is_published and not exp.path else {"classes": 0, "val": 0}
    half = {"classes": [""] * ((exp.classes or counts["classes"]) // 2), "counts": {"val": counts["val"] // 2}}
    return {key: {"A": value, "B": value} for key, value in half.items()}


def make_plan(exp: Experiment, engine: Engine) -> Plan:
    """Finds the state of all stages and runs. Changes nothing."""
    stages = stages_of(exp, engine.name)
    complete = {name: all(stage.is_complete for stage in of_verb) for name, of_verb in stages.items()}
    outdated = {name for name in DATA[1:] if not complete[name] and any(stage.is_outdated for stage in stages[name])}
    states = {run: run_state(exp, run, engine) for run in runs_of(exp, engine.name)}
    copies = {run: source for run in states if (source := source_run(exp, run))}
    _mark_missing_weights(states, copies)
    for run, source in copies.items():  # sources first
        if states[run] in TRAINED and states[source].startswith(STALE) and states[source] != WEIGHTS_GONE:
            states[run] = SOURCE_STALE
    read = {lmdb for run in _and_copies(states, copies) for lmdb in lmdbs_of(exp, run)}
    return Plan(complete, states, copies, frozenset(outdated), frozenset(filter(is_removed, read)))


def run_state(exp: Experiment, run: Run, engine: Engine) -> str:
    """One of the states of a Plan. `unscored` is up to date, but lacks predictions that its net can still make."""
    return "running" if is_locked(run.lock) else _state_at_rest(exp, run, engine)


def _state_at_rest(exp: Experiment, run: Run, engine: Engine) -> str:
    stage = run_stage(exp, run, engine)
    manifest = stage.record
    if manifest is None or "inputs" not in manifest:
        return "failed" if run.failed.exists() else "waiting"
    try:
        changed = stage.changed(manifest)
    except NotReady:
        return "waiting"
    if changed:
        return f"{STALE}: {', '.join(changed)} changed"
    return "unscored" if lacks_predictions(run, manifest) else "done"


def _mark_missing_weights(states: dict[Run, str], copies: dict[Run, Run]) -> None:
    """Marks a source run whose caffemodel is gone (keep_models) as stale if a run still has to copy from it."""
    for run in reversed(list(states)):  # sources last: one that is trained again needs its own source's net
        source = copies.get(run)
        if states[run] in TRAINED or source is None or states[source] != "done":
            continue
        if not trained_weights(source)[0].exists():
            states[source] = WEIGHTS_GONE


def set_aside_stale_manifests(exp: Experiment, engine: Engine, plan: Plan) -> None:
    """Renames the manifests of runs that the plan has as out of date, and those of stale runs that it does not select.

    Another sweep may have finished a run since the plan was made. So each run is looked at again, under its lock.
    """
    for run in filter(_has_manifest, plan.remaining):  # sources first: a run whose source is set aside is waiting
        with lock_if_free(run.lock) as free:
            if not free or not run.manifest.exists():
                continue
            state = _state_at_rest(exp, run, engine)
            if plan.runs[run] == WEIGHTS_GONE and state == "done" and not trained_weights(run)[0].exists():
                (run.folder / "train.json").unlink(missing_ok=True)
                run.manifest.rename(run.previous_manifest)
            elif state not in TRAINED:
                run.manifest.rename(run.stale_manifest)
    for run in _others_on_disk(exp, engine):
        if _stands(exp, run, engine, plan):
            continue
        with lock_if_free(run.lock) as free:
            if free and run.manifest.exists() and not _stands(exp, run, engine, plan):
                run.manifest.rename(run.stale_manifest)


def _stands(exp: Experiment, run: Run, engine: Engine, plan: Plan) -> bool:
    """Whether a finished run that is not selected is up to date, and so is the run that it copies from."""
    source = source_run(exp, run)
    if source in plan.untrained and source and not source.manifest.exists():
        return False
    return not _state_at_rest(exp, run, engine).startswith(STALE)


def _has_manifest(run: Run) -> bool:
    return run.manifest.exists()


def _others_on_disk(exp: Experiment, engine: Engine) -> list[Run]:
    """Finished runs of the experiment that it does not select now. They are in its tables, too."""
    selected = set(runs_of(exp, engine.name))
    name = experiment_name(exp, engine.name)
    runs = [*runs_on_disk(name), *runs_on_disk(name, retained=True)]
    return [run for run in runs if run not in selected and run.manifest.exists()]
