"""The submitting process: sends the jobs of a sweep, shows how it goes on, and sends more where some are missing.

It keeps no state of its own: what is done is in the shared folder, what is queued the scheduler knows by the jobs'
names. So it may be killed at any moment, and the same command goes on. Meanwhile the jobs work without it, and send
their successors (unattended.py).
"""

import os
import sys
import time
from dataclasses import dataclass, field
from pathlib import Path

from tools.cluster.executor import CANCELLED, ENDED, KINDS, MEMORY, TIME, WHY, Kind, Submitted, Unreachable
from tools.cluster.lock_probe import check_locks
from tools.cluster.order import SIGN_OF_LIFE, Order, cluster_folder, place_order, sole_submitter
from tools.cluster.pilot import last_line
from tools.cluster.profile import Profile
from tools.cluster.sending import Sender, of_kinds
from tools.common.files import lock, read_record
from tools.planning.graph import Outcome
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
        with lock(sign.with_name(".send.lock")):
            pass  # a job that is sending its successors, because no submitting process lived, has sent them
        file = sign.with_name("order.json")
        before = read_record(file, profile=dict) if file.exists() else None
        order = place_order(exp, engine, profile, plan)
        if before and before["profile"] != profile.model_dump(mode="json"):
            _withdraw(order)
        return _Watch(order, plan, os.fspath(sign)).to_the_end()


def _withdraw(order: Order) -> None:
    """Removes the jobs that have not begun: another profile sent them, which may be why. Others are sent."""
    try:
        queued = [job.id for job in order.executor.alive(order.names) if not job.is_running]
        order.executor.cancel(queued)
    except Unreachable as fault:
        print(f"{fault}; jobs that wait in its queue have what the profile said before", flush=True)
    else:
        if queued:
            print(f"the profile has changed: {len(queued)} jobs that had not begun are sent again", flush=True)


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
            sender = self._sender(alive)
            now = sender.progress()
            if not alive:
                sender.settle()
                needs_tables = not self.plan.remaining and bool(self.plan.to_do)
                stuck = now == done or not (sender.open() or needs_tables)
                if stuck or CANCELLED in self._ended.values():
                    return Outcome(1, {}, self._why())
                done = now
                self._ended.clear()
            if self._sender(alive).send():
                self._alive()  # at once: of a job that dies before the next look nothing would be told
            self._rest()

    def _alive(self) -> list[Submitted]:
        """The jobs that are queued or running; shows what has changed."""
        while True:
            try:
                jobs = self.order.executor.alive(self.order.names)
                now = {job.id: job.state for job in jobs}
                for gone in self._seen.keys() - now.keys() - self._needless:
                    self._ended[gone] = self.order.executor.ending(gone, self._log(gone)) or ENDED
                    if self._ended[gone] != ENDED:
                        print(f"job {gone}: {self._how(gone)} ({self._log(gone)})", flush=True)
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

    def _sender(self, alive: list[Submitted]) -> Sender:
        cancelled = sum(how == CANCELLED for how in self._ended.values())
        kinds = {job.id: self._kinds[job.id] for job in alive}
        return Sender(self.order, self.plan, of_kinds(kinds), cancelled)

    def _ready_to_send(self, alive: list[Submitted]) -> bool:
        """Whether it is time to look at the whole plan: nothing is alive, or pilots are missing."""
        if not alive:
            return True
        if any(self._kinds[job.id] == "data" for job in alive):
            return not any(self._kinds[job.id] == "pilot" for job in alive)
        return self._sender(alive).missing_pilots() > 0

    def _cancel_needless(self, alive: list[Submitted]) -> None:
        """Cancels pilots that are queued while no run is left: the tables would wait for them."""
        queued = [job.id for job in alive if self._kinds[job.id] == "pilot" and not job.is_running]
        if queued and all(run.manifest.exists() for run in self.plan.runs):
            self._needless.update(queued)
            self.order.executor.cancel(queued)

    def _why(self) -> str:
        """What is known of the jobs if runs are left and none has failed."""
        lines = []
        alike: dict[tuple[Kind, str], list[str]] = {}
        for job, how in sorted(self._ended.items()):
            alike.setdefault((self._kinds[job], how), []).append(job)
        for job, *others in alike.values():
            log = self._log(job)
            said = log.read_text("utf-8", "replace").splitlines()[-_LINES:] if log.is_file() else []
            also = f", and {len(others)} more like it" if others else ""
            lines.append(f"job {job}{also}: {self._how(job)}" + (f"; {log} ends:" if said else ""))
            lines += [f"    {line}" for line in said]
        return "\n".join(lines or ["the jobs ended, and did nothing"])

    def _log(self, job: str) -> Path:
        return self.order.executor.log_file(self.order.folder, self._kinds[job], job)

    def _how(self, job: str) -> str:
        """How a job ended, and the key of the profile that would help."""
        how = self._ended[job]
        if how == CANCELLED and not self._log(job).exists():
            return "cancelled before it began, by hand or because the job that it waited for failed"
        key = {TIME: "hours", MEMORY: "memory"}.get(how)
        prepares = "" if self._kinds[job] == "pilot" else "prepare_"
        return WHY[how] + (f"; set more `{prepares}{key}` in the profile" if key else "")

    def _rest(self) -> None:
        """Waits for the time between two looks at the queue, with signs of life for the jobs."""
        end = time.monotonic() + getattr(self.order.profile, "poll", 15.0)
        while (left := end - time.monotonic()) > 0:
            os.utime(self.sign)
            time.sleep(min(left, SIGN_OF_LIFE))
        sys.stdout.flush()
