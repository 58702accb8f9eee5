"""Do everything that an experiment needs, from the data set to the figures and the page.

    python -m tools sweep experiments/demo.yaml --jobs 2
    python -m tools sweep experiments/tiny.yaml --dry-run
    python -m tools sweep experiments/demo.yaml --set "sizes=[60] conditions=[base,S3T]"

plans, starts the graph (Snakefile) on what is missing, and reports. It may be called again at any time: it continues
where it was stopped, and does nothing if nothing is left to do.
"""

import contextlib
import os
import sys
import time
from collections.abc import Iterator
from pathlib import Path

from tools import cli, summarize
from tools.cluster.order import jobs_of, write_manifest
from tools.cluster.profile import KubernetesProfile, Profile, load_profile
from tools.cluster.submit import carry_out_on, check_shared_folder
from tools.common.errors import UserError
from tools.common.files import lock_shared, remove_leftovers
from tools.datasets import named_folder, refuse_other_images
from tools.planning import estimate
from tools.planning.graph import Outcome, carry_out, other_sweeps
from tools.planning.removal import remove_lmdbs
from tools.planning.state import Plan, check_templates, make_plan, set_aside_stale_manifests
from tools.protocol import layout
from tools.protocol.experiment import Experiment, load
from tools.protocol.layout import MODELS, RESULTS
from tools.training.engine import Engine, engine_of
from tools.training.gpus import runs_per_gpu, selected_gpus
from tools.training.kernels import KERNELS, better_kernels


def sweep(exp: Experiment, engine: Engine, jobs: int, profile: Profile | None = None) -> int:
    """Runs what is left of the experiment; returns the exit status, 1 if a run failed.

    `jobs` trainings at a time on this machine, or with a profile on its cluster.
    """
    results = layout.results_folder(exp, engine.name)
    for place in (layout.dataset_folder(exp).parts[0], MODELS, RESULTS):
        if os.path.lexists(place):
            Path(place).mkdir(exist_ok=True)  # or an OSError that names it: a link to a disk that is not there, a file
    for folder in (layout.dataset_folder(exp), MODELS / results.name, results):
        remove_leftovers(folder)
    users = layout.lmdb_users(exp)
    with contextlib.ExitStack() as held:
        if users.parent.exists():  # else there is nothing yet that another sweep could remove
            held.enter_context(lock_shared(users))
        status = _what_is_left(exp, engine, jobs, profile, held)
    if status == 0 and (said := remove_lmdbs(exp, engine)):
        print(f"{exp.name}: {said}")
    return status


def _what_is_left(
    exp: Experiment, engine: Engine, jobs: int, profile: Profile | None, held: contextlib.ExitStack
) -> int:
    """What `sweep` does while nobody may remove LMDBs: `held` keeps others from it."""
    results = layout.results_folder(exp, engine.name)
    plan = make_plan(exp, engine)
    if plan.is_complete:
        _delete_source_nets(exp, engine, plan)
        print(f"{exp.name}: nothing to do: all {len(plan.runs)} runs and figures are there, in {results}/")
        for verb in plan.stages:
            if plan.stage_state(verb) == "not needed":
                print(f"  what `{verb}` made is not here any more; nothing needs it, unless runs are added")
        return 0
    if not profile:  # else the job that makes the data looks at it
        _check_path(exp, plan)
    print(header(exp, engine, jobs, profile))
    print(f"{len(plan.remaining)} of {len(plan.runs)} runs to do.{_may_follow(plan)}", flush=True)
    if not profile and not selected_gpus(engine) and plan.remaining:
        print(f"No GPU here. {estimate.time_left(exp, engine, plan, jobs)}", flush=True)
    users = layout.lmdb_users(exp)
    users.parent.mkdir(parents=True, exist_ok=True)  # after all that can be wrong with the experiment was told
    held.enter_context(lock_shared(users))
    set_aside_stale_manifests(exp, engine, plan)
    began = time.monotonic()
    outcome = carry_out_on(profile, exp, engine, plan) if profile else carry_out(exp, engine, plan, jobs)
    after = make_plan(exp, engine)
    took = f"{(time.monotonic() - began) / 60:.1f} min"
    if outcome.status == 0 and not after.remaining:
        _delete_source_nets(exp, engine, after)
        print(f"{exp.name}: done in {took}: {results}/report.html, summary.csv, figures/")
        return 0
    done = len(after.runs) - len(after.remaining)
    print(f"\n{exp.name}: {done} of {len(after.runs)} runs done in {took}", file=sys.stderr)
    print("\n".join(_reasons(outcome, after)), file=sys.stderr)
    if any(run.manifest.exists() or run.failed.exists() for run in after.runs):
        summarize.put_back_manifests(exp, engine)
        summarize.summarize(exp, engine.name)
        print(f"  what there is: {results}/runs.csv, summary.csv. The same command goes on from here.", file=sys.stderr)
    return 1


def _check_path(exp: Experiment, plan: Plan) -> None:
    """Raises UserError, as `fetch` would, where the images are still needed and `path:` names nothing that has them.
    Also where runs are to do and the images here are not those of the experiment."""
    if "fetch" in plan.to_do:
        named_folder(exp)
    if plan.remaining:
        refuse_other_images(exp)


def _reasons(outcome: Outcome, after: Plan) -> Iterator[str]:
    """Why the sweep is not done: a line for each run or verb that failed, or what Snakemake said."""
    told = set()
    for run, state in after.runs.items():
        if state == "failed":
            told.add(run.key)
            yield f"  failed: {run.folder}/ (failed.json, caffe.log)"
    for what, how in outcome.failed.items():
        if what not in told:
            yield f"  failed: {what}: {how}{', its error is above' if how.startswith('exit') else ''}"
    if outcome.messages:
        yield f"  failed: {outcome.messages}"
    elif not outcome.failed and not told:
        yield from (f"  {run.folder}: {state}" for run, state in after.runs.items() if state != "done")


def _delete_source_nets(exp: Experiment, engine: Engine, plan: Plan) -> None:
    """keep_models: none. The source nets are needed until every run that copies from them is finished."""
    if exp.keep_models == "none":
        if other_sweeps(exp, engine):
            print(f"{exp.name}: another sweep of it may need the nets; keep_models: none removes them at the next call")
            return
        for run in plan.runs:
            for weights in run.folder.glob("net_iter_*.caffemodel*"):
                weights.unlink()


def header(exp: Experiment, engine: Engine, jobs: int, profile: Profile | None = None) -> str:
    """The first lines of the log: everything that is needed to repeat the sweep."""
    gpus = [] if profile else selected_gpus(engine)
    where = f"GPUs {', '.join(gpus)}" if gpus else "the CPU"
    where = f"in each of {profile.pilots} jobs of {profile.executor}" if profile else f"on {where}"
    values = "\n".join(f"  {key}: {value}" for key, value in exp.model_dump().items() if value is not None)
    overrides = f' with SET="{exp.overrides}"' if exp.overrides else ""
    kernels = "" if profile else kernels_in_words(engine)
    return f"{exp.file}{overrides}, {engine.version} ({engine.path}), {jobs} at a time {where}\n{kernels}{values}"


def kernels_in_words(engine: Engine) -> str:
    """A line on the kernels that the sweep's trainings take, where OpenBLAS would take others."""
    if not (kernels := better_kernels(engine)):
        return ""
    own, better = kernels
    return f"  OpenBLAS: {better}'s kernels; of itself it takes {own}'s here, without AVX2 ({KERNELS}= leaves it)\n"


def default_jobs(engine: Engine) -> int:
    """The default number of trainings at a time: one per place on the GPUs, or one per core."""
    gpus = selected_gpus(engine)
    return len(gpus) * runs_per_gpu() if gpus else len(os.sched_getaffinity(0))


def _may_follow(plan: Plan) -> str:
    """How many finished runs may have to be trained again, because their data or source net are made again."""
    count = len(plan.runs_to_do) - len(plan.remaining)
    return f" Up to {count} more are trained again if what is made again before them changes." if count else ""


def dry_run(exp: Experiment, engine: Engine, jobs: int, profile: Profile | None = None) -> None:
    """Lists the stages and runs, what is done already, and an estimate of the time left. Raises UserError for a path
    without the images that are needed here."""
    plan = make_plan(exp, engine)
    if not profile:
        _check_path(exp, plan)
    print(header(exp, engine, jobs, profile))
    for stage in plan.stages:
        print(f"  {stage:9}  {plan.stage_state(stage)}")
    width = max(len(run.key) for run in plan.runs)
    for run, state in plan.runs.items():
        print(f"  {run.key:{width}}  {state}")
    folder = MODELS / layout.experiment_name(exp, engine.name)
    print(f"{len(plan.runs)} runs, {len(plan.runs) - len(plan.remaining)} done; folder {folder}/{_may_follow(plan)}")
    if profile:
        print(estimate.time_left_on_cluster(exp, engine, plan, jobs * profile.pilots))
    else:
        print(estimate.time_left(exp, engine, plan, jobs))


def main(argv: list[str]) -> int:
    parser = cli.parser("sweep", __doc__)
    parser.add_argument(
        "--jobs", type=int, default=0, help="trainings at a time; default: one a core, or a place on a GPU"
    )
    parser.add_argument("--executor", metavar="NAME", help="train on the cluster of experiments/profiles/NAME.yaml")
    parser.add_argument("--dry-run", action="store_true", help="list the runs, what is done, and the time left")
    arguments = parser.parse_args(argv)
    exp = load(arguments.experiment, arguments.set)
    engine = engine_of(exp)
    if arguments.jobs < 0:
        raise UserError(f"--jobs {arguments.jobs}: the number of trainings at a time; at least 1")
    profile = load_profile(arguments.executor) if arguments.executor else None
    if profile and not arguments.dry_run:
        check_shared_folder()
    if profile and arguments.jobs:
        profile = profile.model_copy(update={"jobs": arguments.jobs})
    jobs = jobs_of(profile) if profile else arguments.jobs or default_jobs(engine)
    check_templates(exp, engine)
    if arguments.dry_run:
        dry_run(exp, engine, jobs, profile)
        return 0
    if isinstance(profile, KubernetesProfile):
        print(write_manifest(exp, engine, profile))
        return 0
    return sweep(exp, engine, jobs, profile)
