"""The submitting process: sends the jobs of a sweep, shows how it goes on, and sends more where some are missing.

It keeps no state of its own: what is done is in the shared folder, what is queued the scheduler knows by the jobs'
names. So it may be killed at any moment, and the same command goes on. Meanwhile the jobs work without it.
"""

import os
import sys
import time
from dataclasses import dataclass, field

from tools.cluster import fate
from tools.cluster.executor import CANCELLED, ENDED, KINDS, MEMORY, TIME, WHY, Kind, Submitted, Unreachable
from tools.cluster.lock_probe import check_locks
from tools.cluster.order import SIGN_OF_LIFE, Order, cluster_folder, place_order, sole_submitter
from tools.cluster.pilot import last_line
from tools.cluster.profile import Profile
from tools.common.files import is_locked
from tools.planning.graph import Outcome
from tools.planning.stages import DATA
from tools.planning.state import Plan, make_plan
from tools.protocol.experiment import Experiment
from tools.protocol.layout import MODELS, RESULTS, Run
from tools.training.engine import Engine

_LINES = 12  # of a failed job's log that are shown


def carry_out_on(profile: Profile, exp: Experiment, engine: Engine, plan: Plan) -> Outcome:
    """Does what the plan says is to do as jobs of the profile's scheduler, and waits for their end.

    Raises UserError before anything is sent if another process submits this sweep.
    """
    with sole_submitter(cluster_folder(exp, engine)) as sign:
        watch = _Watch(place_order(exp, engine, profile, plan), plan, os.fspath(sign))
        return watch.to_the_end()


def check_shared_folder() -> None:
    """Raises UserError if locks do not work where the jobs will work. To be called before anything is written there."""
    for place in (RESULTS, MODELS):
        place.mkdir(exist_ok=True)
        check_locks(place)


@dataclass
class _Watch:
    order: Order
    plan: Plan
    sign: str
    _seen: dict[str, str] = field(default_factory=dict)  # job -> its state, as last shown
    _ended: dict[str, str] = field(default_factory=dict)  # job -> how it ended
    _kinds: dict[str, Kind] = field(default_factory=dict)  # of every job that was seen
    _needless: set[str] = field(default_factory=set)  # jobs that this process has cancelled
    _told: set[Run] = field(default_factory=set)

    def to_the_end(self) -> Outcome:
        self._told = {run for run in self.plan.runs if run.manifest.exists()}
        done: tuple[int, ...] = ()
        while True:
            alive = self._alive()
            self._show_runs()
            self._cancel_needless(alive)
            if not self._ready_to_send(alive):
                self._rest()
                continue
            self.plan = make_plan(self.order.exp, self.order.engine)
            if not self.plan.to_do and not self.plan.remaining:
                return Outcome(0, {}, "")
            now = self._progress()
            if not alive:
                self._settle()
                stuck = now == done or not (self._open() or self._needs_tables())
                if stuck or CANCELLED in self._ended.values():
                    return Outcome(1, {}, self._why())
                done = now
                self._ended.clear()
            self._send(alive)
            self._rest()

    def _alive(self) -> list[Submitted]:
        """The jobs that are queued or running; shows what has changed."""
        while True:
            try:
                jobs = self.order.executor.alive(self.order.names)
                now = {job.id: job.state for job in jobs}
                for gone in self._seen.keys() - now.keys() - self._needless:
                    log = self.order.executor.log_file(self.order.folder, self._kinds[gone], gone)
                    self._ended[gone] = self.order.executor.ending(gone, log) or ENDED
                    if self._ended[gone] != ENDED:
                        print(f"job {gone}: {WHY[self._ended[gone]]} ({log})", flush=True)
                break
            except Unreachable as fault:
                print(f"{fault}; waiting for it", flush=True)
                self._rest()
        if {*now.values()} != {*self._seen.values()} or len(now) != len(self._seen):
            counts = {state: sum(job.state == state for job in jobs) for state in now.values()}
            print("jobs: " + (", ".join(f"{n} {state}" for state, n in counts.items()) or "none"), flush=True)
        kind_of = {self.order.name(kind): kind for kind in KINDS}
        self._seen, self._kinds = now, self._kinds | {job.id: kind_of[job.name] for job in jobs}
        return jobs

    def _show_runs(self) -> None:
        """The lines of the runs that have ended since, as a local sweep prints them."""
        for run in self.plan.runs:
            if run not in self._told and (run.manifest.exists() or self.order.is_over(run.failed, run.key)):
                self._told.add(run)
                print(last_line(run) or run.key, flush=True)

    def _open(self) -> list[Run]:
        """The runs that are left to be done and have not failed in this sweep, nor has what they copy from."""
        over = {run for run in self.plan.remaining if self.order.is_over(run.failed, run.key)}
        found: dict[Run, None] = {}
        for run in self.plan.remaining:
            source = self.plan.copies.get(run)
            if run not in over and (source is None or source in found or source.manifest.exists()):
                found[run] = None
        return list(found)

    def _takeable(self) -> list[Run]:
        """Those of them that a pilot could begin with now."""
        sources = self.plan.copies
        return [
            run
            for run in self._open()
            if not is_locked(run.folder / ".taken") and (run not in sources or sources[run].manifest.exists())
            if not run.manifest.exists() or self.plan.runs[run] == "unscored"
        ]

    def _ready_to_send(self, alive: list[Submitted]) -> bool:
        """Whether it is time to look at the whole plan: nothing is alive, or pilots are missing."""
        if not alive:
            return True
        if any(self._kinds[job.id] == "data" for job in alive):
            return not any(self._kinds[job.id] == "pilot" for job in alive)
        return self._missing_pilots(alive) > 0

    def _missing_pilots(self, alive: list[Submitted]) -> int:
        pilots = [job for job in alive if self._kinds[job.id] == "pilot"]
        cancelled = sum(how == CANCELLED for how in self._ended.values())  # by hand: not to be replaced
        wanted = -(-len(self._takeable()) // self.order.jobs) - len(pilots)
        return max(0, min(self.order.profile.pilots - len(pilots) - cancelled, wanted))

    def _cancel_needless(self, alive: list[Submitted]) -> None:
        """Cancels pilots that are queued while no run is left: the tables would wait for them."""
        queued = [job.id for job in alive if self._kinds[job.id] == "pilot" and not job.is_running]
        if queued and all(run.manifest.exists() for run in self.plan.runs):
            self._needless.update(queued)
            self.order.executor.cancel(queued)

    def _progress(self) -> tuple[int, ...]:
        """What changes as long as something is done: runs finished, kills that are followed by a try with more."""
        return (
            len(self.plan.remaining),
            len(self.plan.to_do),
            sum(fate.kills(run, TIME, MEMORY) for run in self.plan.remaining),
        )

    def _needs_tables(self) -> bool:
        return not self.plan.remaining and bool(self.plan.to_do)

    def _settle(self) -> None:
        """Notes how the jobs ended that had a run which is not done: no job is alive."""
        for run in self.plan.remaining:
            job = fate.record_of(run)
            if job["job"] and not self.order.is_over(run.failed, run.key):
                log = self.order.executor.log_file(self.order.folder, "pilot", job["job"])
                fate.note_killed(run, self.order.executor.ending(job["job"], log) or ENDED)
                fate.give_up(run, self.order.profile.retries)

    def _send(self, alive: list[Submitted]) -> None:
        """Sends what is missing: the data, then pilots, then the tables. Each waits for what goes before it."""
        order, executor = self.order, self.order.executor
        ids = {kind: [job.id for job in alive if self._kinds[job.id] == kind] for kind in KINDS}
        try:
            if any(verb in DATA for verb in self.plan.to_do) and not ids["data"]:
                ids["data"] = [executor.submit(order.job("data"))]
            pilots = self._missing_pilots(alive)
            if pilots:
                open_runs = self._open()
                level = max((fate.kills(run, TIME, MEMORY) for run in open_runs), default=0)
                more = {
                    "hours": order.profile.more ** max(fate.kills(run, TIME) for run in open_runs),
                    "memory": order.profile.more ** max(fate.kills(run, MEMORY) for run in open_runs),
                }
                after = {"after": tuple(ids["data"]), "after_success": True}
                ids["pilot"].append(executor.submit(order.job("pilot", pilots, level, more, **after)))
            if not ids["tables"]:
                executor.submit(order.job("tables", after=tuple(ids["pilot"] or ids["data"])))
        except Unreachable as fault:
            print(f"{fault}; what was not sent is sent later", flush=True)

    def _why(self) -> str:
        """What is known of the jobs if runs are left and none has failed."""
        lines = []
        for job, how in sorted(self._ended.items()):
            log = self.order.executor.log_file(self.order.folder, self._kinds[job], job)
            said = log.read_text("utf-8", "replace").splitlines()[-_LINES:] if log.is_file() else []
            lines += [f"job {job}: {WHY[how]}; {log} ends:", *(f"    {line}" for line in said)]
        return "\n".join(lines or ["the jobs ended, and did nothing"])

    def _rest(self) -> None:
        """Waits for the time between two looks at the queue, with signs of life for the jobs."""
        end = time.monotonic() + getattr(self.order.profile, "poll", 15.0)
        while (left := end - time.monotonic()) > 0:
            os.utime(self.sign)
            time.sleep(min(left, SIGN_OF_LIFE))
        sys.stdout.flush()
