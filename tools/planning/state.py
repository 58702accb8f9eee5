"""What an experiment still needs: the state of every stage and run, by the judge, and the withdrawal of what is stale.

The graph (Snakefile) takes the presence of a mark for its truth. So before it starts, marks that no longer stand are
taken away: a stage's mark is removed, a run's manifest is set aside under another name, from which tools/run.py takes
it back if the judge then finds that it stands after all (its source net was trained again to the same bytes, say).
"""

from dataclasses import dataclass

from tools import claims, mean, pack, plot, report, split, summarize
from tools.common.files import is_locked, read_json
from tools.datasets import fetched
from tools.nets.templates import render
from tools.protocol import layout
from tools.protocol.experiment import Experiment
from tools.protocol.layout import Run
from tools.protocol.register import card
from tools.protocol.runs import runs_of, source_run
from tools.results.columns import runs_on_disk
from tools.training.engine import Engine
from tools.training.inputs import NotReady, lacks_predictions, run_inputs, source_weights

FINISHED = ("done", "unscored")  # no training is left to do


@dataclass(frozen=True)
class Plan:
    stages: dict[str, bool]  # stage -> complete, in the graph's order
    runs: dict[Run, str]  # of the experiment: done | unscored | stale: what changed | running | failed | waiting

    @property
    def waiting(self) -> list[Run]:
        return [run for run, state in self.runs.items() if state != "done"]

    @property
    def untrained(self) -> list[Run]:
        return [run for run, state in self.runs.items() if state not in FINISHED]

    @property
    def complete(self) -> bool:
        return all(self.stages.values()) and not self.waiting


def check(exp: Experiment, engine: Engine) -> None:
    """Refuses an experiment whose templates do not fit it, before any work. Raises UserError or FormatError."""
    for run in runs_of(exp, engine.name):
        render(exp, run, None if layout.split_of(exp, run.seed).marker.exists() else _presumed_split(exp))


def _presumed_split(exp: Experiment) -> dict:
    """The split of the published data set, from its card; of one's own images nothing is known before the split."""
    about = card(exp.dataset)
    counts = about.counts if about.is_published and not exp.path else {"classes": 2, "val": 0}
    half = {"classes": [""] * (counts["classes"] // 2), "counts": {"val": counts["val"] // 2}}
    return {key: {"A": value, "B": value} for key, value in half.items()}


def make_plan(exp: Experiment, engine: Engine) -> Plan:
    """Looks, and changes nothing."""
    stages = {"fetch": fetched(exp) is not None}
    for verb in (split, pack, mean):
        stages[verb.__name__.removeprefix("tools.")] = all(verb.is_complete(exp, seed) for seed in exp.seeds)
    states = {run: state(exp, run, engine) for run in runs_of(exp, engine.name)}
    _need_models(exp, states)
    stages["summarize"] = summarize.is_complete(exp, engine.name)
    stages["claims"] = claims.is_complete(exp, engine.name)
    stages["plot"] = plot.is_complete(exp, engine.name)
    stages["report"] = report.is_complete(exp, engine.name)
    return Plan(stages, states)


def state(exp: Experiment, run: Run, engine: Engine) -> str:
    """done, running, failed, waiting, `stale: ...` for a result whose inputs are no longer the same, or unscored: one
    that stands, but lacks predictions that its net can still make."""
    if is_locked(run.lock):
        return "running"
    manifest = read_json(run.manifest)
    if manifest is None:
        return "failed" if run.failed.exists() else "waiting"
    try:
        now = run_inputs(exp, run, engine)
    except NotReady:
        return "waiting"
    changed = sorted(
        key for key in now.keys() | manifest["inputs"].keys() if now.get(key) != manifest["inputs"].get(key)
    )
    if changed:
        return f"stale: {', '.join(changed)} changed"
    return "unscored" if lacks_predictions(run, manifest) else "done"


def _need_models(exp: Experiment, states: dict[Run, str]) -> None:
    """A source run whose caffemodel is gone (keep_models) is done only as long as no run needs to copy from it."""
    for run in reversed(list(states)):  # sources last: one that is trained again needs its own source's net
        source, what = source_run(exp, run), states[run]
        if what not in FINISHED and source and states.get(source) == "done" and not source_weights(source)[0].exists():
            states[source] = "stale: its caffemodel is gone"


def withdraw(exp: Experiment, engine: Engine, plan: Plan) -> None:
    """Takes away the marks that do not stand, so that the graph makes again what they stood for."""
    graph = layout.results_folder(exp, engine.name) / "graph"
    upstream = True
    for stage, complete in plan.stages.items():
        upstream = upstream and complete and (stage != "summarize" or not plan.waiting)
        if upstream:
            graph.mkdir(parents=True, exist_ok=True)
            (graph / stage).touch()
        else:
            (graph / stage).unlink(missing_ok=True)
    for run in plan.waiting:
        if run.manifest.exists():
            if plan.runs[run].startswith("stale: its caffemodel"):
                (run.folder / "train.json").unlink(missing_ok=True)
                run.manifest.rename(run.previous_manifest)
            else:
                run.manifest.rename(run.stale_manifest)
    for run in others_on_disk(exp, engine):
        source = plan.runs.get(source_run(exp, run), "done")
        if state(exp, run, engine).startswith("stale") or source not in FINISHED:
            run.manifest.rename(run.stale_manifest)


def others_on_disk(exp: Experiment, engine: Engine) -> list[Run]:
    """Finished runs of the same name that the experiment does not select now; they stand in its summary, too."""
    selected = set(runs_of(exp, engine.name))
    name = layout.experiment_name(exp, engine.name)
    found = [*runs_on_disk(name), *runs_on_disk(name, retained=True)]
    return [run for run in found if run not in selected and run.manifest.exists()]
