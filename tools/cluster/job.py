"""What a job does on its node. The scheduler starts it in the project's root:

    python -m tools.cluster.job data    results/tiny/cluster/order.json      fetch, split, pack, mean
    python -m tools.cluster.job pilot   results/tiny/cluster/order.json 0    trainings, until none is left
    python -m tools.cluster.job tables  results/tiny/cluster/order.json      summarize, claims, plot, report
    python -m tools.cluster.job all     results/tiny/cluster/order.json 0    all of these: one job, or several alike

Each may be started any number of times, also beside others: what is done is not done again.
"""

import os
import subprocess
import sys
from collections.abc import Callable, Mapping
from pathlib import Path

from caffeformat import FormatError
from tools.cluster.executor import Kind, Unreachable
from tools.cluster.kubernetes import LEFT
from tools.cluster.lock_probe import check_locks
from tools.cluster.order import Order, check_locks_across_nodes, read_order
from tools.cluster.pilot import Pilot, words_of_run
from tools.cluster.unattended import send_more
from tools.common.errors import UserError
from tools.common.files import lock, lock_shared
from tools.common.parent_death import with_this_process
from tools.planning.estimate import seconds_of_run, seconds_per_iteration
from tools.planning.graph import defaults
from tools.planning.stages import DATA, OPTIONS
from tools.planning.state import make_plan, set_aside_stale_manifests
from tools.protocol.layout import MODELS, Run, lmdb_users
from tools.training.gpus import GPU_GIVEN, selected_gpus

TOLD_TO_END = 143  # the exit status of a process that SIGTERM ends


def make_data(order: Order) -> int:
    """Makes the data that are missing, once: another job that comes meanwhile waits. Returns the exit status."""
    with lock(order.folder / ".data.lock"):
        for verb in make_plan(order.exp, order.engine).to_do:
            if verb in DATA and (status := _verb(order, verb, *OPTIONS.get(verb, ()))):
                return status
    return 0


def work(order: Order, level: int, began_in: Mapping[str, str], is_pod: bool = False) -> int:
    """Works through the runs as a pilot, and sends others for what is left. began_in: this job's first environment.

    is_pod: none can be sent, so it waits for nets that others train, and its exit status asks for a successor.
    Returns the exit status: 0 if it was not told to end.
    """
    exp, engine, inside = order.exp, order.engine, order.inside
    plan = make_plan(exp, engine)
    if plan.removed:  # another experiment has removed LMDBs since (keep_lmdbs)
        if status := make_data(order):
            return status
        plan = make_plan(exp, engine)
    if any(verb in DATA for verb in plan.to_do):
        raise UserError(
            f"{exp.name}: {', '.join(verb for verb in plan.to_do if verb in DATA)}: not done, so no run can"
        )
    set_aside_stale_manifests(exp, engine, plan)
    places: list[str | None] = [*selected_gpus(engine)] or [None]
    if order.profile.gpus and places == [None] and plan.remaining:
        raise UserError(
            f"{engine.path}: finds no GPU on {os.uname().nodename}, and the profile asks for {order.profile.gpus}; set "
            "`gpus: 0` to train on the cores, or CAFFE to an engine that can use it (`make doctor` on that node)"
        )
    jobs = order.jobs
    places = (places * jobs)[:jobs]  # gpu0, gpu1, gpu0, gpu1
    environment = defaults(engine, jobs) | os.environ
    environment |= {GPU_GIVEN: "1", "TOOLS_PLAIN": "1", "PYTHONUNBUFFERED": "1"}
    os.environ.update(environment)
    seconds = _estimates(order, len(plan.remaining))

    def left() -> float:
        try:
            return inside.seconds_left()
        except Unreachable:
            return float("inf")

    def ending(job: str, log: Path) -> str | None:
        try:
            return inside.ending(job, log)
        except UserError:
            return None

    pilot = Pilot(
        plan,
        words_of_run([f"--set={exp.overrides}", "--", str(exp.file)]),
        lambda run: order.is_over(run.failed, run.key),
        job=inside.own_job(),
        log=inside.log_file(order.folder, "pilot", inside.own_job()),
        places=places,
        environment=environment,
        seconds=seconds,
        left=left,
        ending=ending,
        margin=order.profile.margin,
        retries=order.profile.retries,
        level=level,
        opened=lambda: send_more(order, began_in, ends=False),
        waits=is_pod,
    )
    if pilot.work():
        return TOLD_TO_END
    if is_pod and pilot.left_free():
        print("runs are left, and the time of this pod is nearly up: another one is due", flush=True)
        return LEFT if pilot.finished else 1
    if pilot.finished and pilot.left_to_others():
        send_more(order, began_in)
    return 0


def make_tables(order: Order, began_in: Mapping[str, str]) -> int:
    """The tables and figures, by the local sweep, if no run is left; else sends more jobs. Returns the exit status."""
    plan = make_plan(order.exp, order.engine)
    if plan.remaining:
        print(f"{len(plan.remaining)} runs are not done: tables and figures are for later", flush=True)
        send_more(order, began_in)
        return 0
    return _verb(order, "sweep")


def _estimates(order: Order, runs: int) -> Callable[[Run], float | None]:
    """A function: a run -> its estimated seconds here; None where the engine could not be measured."""
    if not runs:
        return lambda run: None
    with lock(order.folder / ".measure.lock"):  # the other pilots find it in iteration.json
        try:
            seconds = seconds_per_iteration(order.exp, order.engine, order.jobs)
        except (UserError, FormatError) as error:
            print(f"note: no run's time is known: {error}", flush=True)
            return lambda run: None

    return lambda run: seconds_of_run(order.exp, run, seconds)


def _verb(order: Order, verb: str, *options: str) -> int:
    command = [sys.executable, "-m", "tools", verb, *options, f"--set={order.exp.overrides}", "--", str(order.exp.file)]
    return subprocess.run(command, stdin=subprocess.DEVNULL, preexec_fn=with_this_process()).returncode


def main(kind: Kind | str, file: str, level: str = "0") -> int:
    print(f"# {kind} on {os.environ.get('SLURMD_NODENAME') or os.uname().nodename}", flush=True)
    began_in = dict(os.environ)
    order = read_order(Path(file))
    if order.profile.gpus and kind in ("pilot", "all"):
        os.environ.pop("GPUS", None)  # that of the submitting machine: here the scheduler has chosen
    else:
        os.environ["GPUS"] = ""
    MODELS.mkdir(exist_ok=True)
    for folder in (order.folder, MODELS):
        check_locks(folder)
    check_locks_across_nodes(order.folder)
    status = 0
    with lock_shared(lmdb_users(order.exp)):
        if kind in ("data", "all"):
            status = make_data(order)
        if kind in ("pilot", "all") and not status:
            status = work(order, int(level), began_in, is_pod=kind == "all")
    if kind in ("tables", "all") and not status:
        status = make_tables(order, began_in)
    return status


if __name__ == "__main__":
    try:
        sys.exit(main(*sys.argv[1:]))
    except (UserError, FormatError) as error:
        print(f"error: {error}", file=sys.stderr)
        sys.exit(2)
