"""A scheduler that is a list in memory, and its profile."""

from dataclasses import dataclass, field
from pathlib import Path

from tools.cluster.executor import Job, Submitted, Unreachable
from tools.cluster.profile import SlurmProfile
from tools.common.errors import UserError

PROFILE = SlurmProfile(executor="slurm", pilots=2, cpus=1, memory=1.0, hours=1.0, retries=1, poll=0.001)


@dataclass
class Scheduler:
    """Its jobs end at the second look. `does(job)` is what one does then; `ends` how each ends."""

    does: object = lambda job: None
    ends: dict[str, str] = field(default_factory=dict)
    sent: list[Job] = field(default_factory=list)
    queue: dict[str, tuple[Job, int]] = field(default_factory=dict)
    cancelled: list[str] = field(default_factory=list)
    busy: int = 0
    waits: set[str] = field(default_factory=set)  # jobs that have not begun
    refuses: bool = False
    most: float = float("inf")  # memory of a job that it takes

    def submit(self, job: Job) -> str:
        if self.refuses:
            raise Unreachable("sbatch: Unable to contact slurm controller")
        if job.memory > self.most:
            raise UserError("sbatch: exit 1: Memory specification can not be satisfied")
        self.sent.append(job)
        number = str(len(self.sent))
        for task in range(job.count):
            self.queue[f"{number}_{task + 1}" if job.kind == "pilot" else number] = (job, 0)
        return number

    def alive(self, names: tuple[str, ...]) -> list[Submitted]:
        if self.busy:
            self.busy -= 1
            raise Unreachable("squeue: Unable to contact slurm controller")
        for job, (what, looks) in list(self.queue.items()):
            self.queue[job] = (what, looks + 1)
            if looks == 1:
                del self.queue[job]
                self.does(what)
        return [
            Submitted(job, what.name, job not in self.waits, "PENDING" if job in self.waits else "RUNNING")
            for job, (what, _) in self.queue.items()
        ]

    def ending(self, job: str, log: Path | None) -> str | None:
        return self.ends.get(job, "ended")

    def cancel(self, jobs: list[str]) -> None:
        self.cancelled += jobs

    def log_file(self, logs: Path, kind: str, job: str) -> Path:
        return logs / f"{job}.{kind}.log"
