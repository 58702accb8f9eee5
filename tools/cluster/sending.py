"""Which jobs of a sweep are missing, and their submission: by the submitting process, or by a job if that is dead."""

from dataclasses import dataclass

from tools.cluster import fate
from tools.cluster.executor import ENDED, KINDS, MEMORY, TIME, Job, Kind, Unreachable
from tools.cluster.order import Order
from tools.common.errors import UserError
from tools.common.files import is_locked, write_json
from tools.planning.stages import DATA
from tools.planning.state import Plan
from tools.protocol.layout import Run
from tools.training.attempts import attempts


@dataclass
class Sender:
    """alive: the ids of the jobs of each kind that are queued or running. cancelled: pilots that were ended by hand."""

    order: Order
    plan: Plan
    alive: dict[Kind, list[str]]
    cancelled: int = 0

    def open(self) -> list[Run]:
        """The runs that are left to be done and have not failed in this sweep, nor has what they copy from."""
        over = {run for run in self.plan.remaining if self.order.is_over(run.failed, run.key)}
        found: dict[Run, None] = {}
        for run in self.plan.remaining:
            source = self.plan.copies.get(run)
            if run not in over and (source is None or source in found or source.manifest.exists()):
                found[run] = None
        return list(found)

    def takeable(self) -> list[Run]:
        """Those of them that a pilot could begin with now."""
        sources = self.plan.copies
        return [
            run
            for run in self.open()
            if not is_locked(run.folder / ".taken") and (run not in sources or sources[run].manifest.exists())
            if not run.manifest.exists() or self.plan.runs[run] == "unscored"
        ]

    def missing_pilots(self) -> int:
        """How many more could work now. One that was cancelled by hand is not replaced."""
        pilots = len(self.alive["pilot"])
        wanted = -(-len(self.takeable()) // self.order.jobs) - pilots
        return max(0, min(self.order.profile.pilots - pilots - self.cancelled, wanted))

    def progress(self) -> tuple[int, ...]:
        """What changes as long as something is done: runs finished, kills that are followed by a try with more."""
        return (
            len(self.plan.remaining),
            len(self.plan.to_do),
            sum(fate.kills(run, TIME, MEMORY) for run in self.plan.remaining),
        )

    def settle(self) -> None:
        """Notes how the jobs ended that had a run which is not done. To be called when no pilot is alive."""
        for run in self.plan.remaining:
            job = fate.record_of(run)
            if job["job"] and not self.order.is_over(run.failed, run.key):
                log = self.order.executor.log_file(self.order.folder, "pilot", job["job"])
                fate.note_killed(run, self.order.executor.ending(job["job"], log) or ENDED)
                fate.give_up(run, self.order.profile.retries)

    def send(self) -> list[Job]:
        """Sends what is missing: the data, then pilots, then the tables. Each waits for what goes before it.

        Returns what was sent: not all of it where the scheduler does not answer now. Where it refuses a job, what was
        sent before is removed again, and UserError is raised. Runs that need a pilot with more than it grants fail.
        """
        order, sent, new = self.order, list[Job](), list[str]()

        def submit(job: Job) -> str:
            sent.append(job)
            new.append(order.executor.submit(job))
            return new[-1]

        ids = {kind: [*self.alive[kind]] for kind in KINDS}
        try:
            if any(verb in DATA for verb in self.plan.to_do) and not ids["data"]:
                ids["data"] = [submit(order.job("data"))]
            pilots = self.missing_pilots()
            if pilots:
                open_runs = self.open()
                level = max((fate.kills(run, TIME, MEMORY) for run in open_runs), default=0)
                more = {
                    "hours": order.profile.more ** max(fate.kills(run, TIME) for run in open_runs),
                    "memory": order.profile.more ** max(fate.kills(run, MEMORY) for run in open_runs),
                }
                after = {"after": tuple(ids["data"]), "after_success": True}
                ids["pilot"].append(submit(order.job("pilot", pilots, level, more, **after)))
            if not ids["tables"]:
                submit(order.job("tables", after=tuple(ids["pilot"] or ids["data"])))
        except Unreachable as fault:
            print(f"{fault}; what was not sent is sent later", flush=True)
            sent.pop()
        except UserError as refusal:
            order.executor.cancel(new)
            if sent[-1].kind != "pilot" or not self._give_up_for(refusal):
                raise
            return self.send() if self.open() else []
        return sent

    def _give_up_for(self, refusal: UserError) -> bool:
        """Fails the runs that were killed for time or memory, if there are any: more than they had is refused."""
        killed = [run for run in self.open() if fate.kills(run, TIME, MEMORY)]
        for run in killed:
            error = f"{fate.told(run)}. With more it cannot be tried: {refusal}"
            write_json(run.failed, {"run": run.key, "error": error, "attempts": attempts(run)})
            print(f"{run.key}: {error}", flush=True)
        return bool(killed)


def of_kinds(kinds: dict[str, Kind]) -> dict[Kind, list[str]]:
    """Job -> its kind, turned round."""
    return {kind: [job for job, its in kinds.items() if its == kind] for kind in KINDS}
