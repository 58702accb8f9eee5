"""What a scheduler must be able to do: take jobs, tell which are there, and say how one ended.

A sweep on a cluster asks for nothing else (tools/cluster/submit.py, job.py), so another scheduler is one more class.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Literal, Protocol

from tools.common.errors import UserError

Kind = Literal["data", "pilot", "tables"]
KINDS: tuple[Kind, ...] = ("data", "pilot", "tables")  # in their order: the later ones wait for the earlier ones

TIME, MEMORY, NODE, CANCELLED, ENDED = "time", "memory", "node", "cancelled", "ended"
WHY = {
    TIME: "killed for time",
    MEMORY: "killed for memory",
    NODE: "its node failed, or it was requeued",
    CANCELLED: "cancelled",
    ENDED: "ended by itself",
}  # how a job ended -> in words


class Unreachable(UserError):
    """The scheduler does not answer now. It may later."""


@dataclass(frozen=True)
class Job:
    """One submission: `count` jobs of the same kind.

    after: ids of jobs that must end first; `after_success`: and well. memory in GB, hours: of each job.
    """

    kind: Kind
    name: str
    count: int
    command: tuple[str, ...]  # argv, in the project's root
    logs: Path  # the folder of the jobs' logs
    cpus: int
    gpus: int
    memory: float
    hours: float
    after: tuple[str, ...] = ()
    after_success: bool = False


@dataclass(frozen=True)
class Submitted:
    """A job that is queued or running."""

    id: str
    name: str
    is_running: bool
    state: str  # the scheduler's own word


class Inside(Protocol):
    """What a job asks of its scheduler. Raises Unreachable where it does not answer, and UserError where it refuses."""

    def own_job(self) -> str:
        """The id of this job, as `alive` has it."""

    def seconds_left(self) -> float:
        """What is left of this job's time; infinite if there is no limit."""

    def ending(self, job: str, log: Path | None) -> str | None:
        """How a job ended, a key of WHY; None while it is queued or running. log: its log file, if that is known."""

    def log_file(self, logs: Path, kind: Kind, job: str) -> Path:
        """The log of a job."""


class Executor(Inside, Protocol):
    """What the submitting process asks, besides. The same errors."""

    def submit(self, job: Job) -> str:
        """Submits; returns the id that later jobs name in `after`."""

    def alive(self, names: tuple[str, ...]) -> list[Submitted]:
        """The caller's jobs with these names that are queued or running."""

    def cancel(self, jobs: list[str]) -> None:
        """Removes jobs. One that has ended by now is no error."""
