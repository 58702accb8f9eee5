"""The submitting process beside a scheduler that is a list in memory. tests/sweep/test_slurm.py has a real one."""

from dataclasses import dataclass, field
from pathlib import Path

import pytest

from tools.cluster import fate, submit
from tools.cluster.executor import Job, Submitted, Unreachable
from tools.cluster.order import Order
from tools.cluster.profile import SlurmProfile
from tools.cluster.submit import carry_out_on
from tools.common.files import write_json
from tools.planning.graph import Outcome
from tools.planning.state import make_plan
from tools.protocol.experiment import Experiment
from tools.protocol.layout import Run
from tools.protocol.runs import runs_of
from tools.training.engine import Engine

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

    def submit(self, job: Job) -> str:
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
        return [Submitted(job, what.name, True, "RUNNING") for job, (what, _) in self.queue.items()]

    def ending(self, job: str, log: Path | None) -> str | None:
        return self.ends.get(job, "ended")

    def cancel(self, jobs: list[str]) -> None:
        self.cancelled += jobs

    def log_file(self, logs: Path, kind: str, job: str) -> Path:
        return logs / f"{job}.{kind}.log"


@pytest.fixture
def scheduler(monkeypatch: pytest.MonkeyPatch) -> Scheduler:
    found = Scheduler()
    monkeypatch.setattr(Order, "executor", found)
    return found


@pytest.fixture
def missing(trained: Experiment) -> list[Run]:
    """The last two runs of the project, whose manifests were moved to another name."""
    runs = runs_of(trained, "caffe")[-2:]
    for run in runs:
        run.manifest.rename(run.folder / "kept.json")
    return runs


def finish(run: Run) -> None:
    (run.folder / "kept.json").rename(run.manifest)


def carry_out(exp: Experiment, engine: Engine) -> Outcome:
    return carry_out_on(PROFILE, exp, engine, make_plan(exp, engine))


def test_pilots_and_tables_are_sent_and_the_end_is_seen(
    trained: Experiment, engine: Engine, scheduler: Scheduler, missing: list[Run], monkeypatch: pytest.MonkeyPatch
) -> None:
    def work(job: Job) -> None:
        if job.kind == "pilot" and not missing[0].manifest.exists():
            [finish(run) for run in missing]
        if job.kind == "tables":
            monkeypatch.setattr(submit, "make_plan", lambda *_: plan)

    plan = make_plan(trained, engine)
    plan = type(plan)(dict.fromkeys(plan.stages, True), dict.fromkeys(plan.runs, "done"), plan.copies)
    scheduler.does, scheduler.busy = work, 1
    assert carry_out(trained, engine).status == 0
    assert [(job.kind, job.count) for job in scheduler.sent] == [("pilot", 2), ("tables", 1)]
    assert scheduler.sent[1].after == ("1",) and not scheduler.sent[1].after_success


def test_the_data_come_first_where_they_are_missing(
    trained: Experiment, engine: Engine, scheduler: Scheduler, missing: list[Run]
) -> None:
    next(Path("data").rglob("mean.json")).unlink()
    carry_out(trained, engine)
    data, pilots = scheduler.sent[:2]
    assert (data.kind, pilots.kind, pilots.after, pilots.after_success) == ("data", "pilot", ("1",), True)


def test_jobs_that_do_nothing_end_the_sweep_with_what_they_said(
    trained: Experiment, engine: Engine, scheduler: Scheduler, missing: list[Run]
) -> None:
    def complain(job: Job) -> None:
        (job.logs / "1_1.pilot.log").write_text("error: no disk\n")

    scheduler.does = complain
    outcome = carry_out(trained, engine)
    assert outcome.status == 1 and "job 1_1: ended by itself; results/quick/cluster/1_1.pilot.log" in outcome.messages
    assert "    error: no disk" in outcome.messages
    assert len([job for job in scheduler.sent if job.kind == "pilot"]) == 1, "not sent again for nothing"


def test_a_run_killed_for_memory_gets_a_pilot_with_more_and_is_then_given_up(
    trained: Experiment, engine: Engine, scheduler: Scheduler, missing: list[Run], capsys: pytest.CaptureFixture
) -> None:
    def die(job: Job) -> None:
        number = len([sent for sent in scheduler.sent if sent.kind == "pilot"])
        if job.kind == "pilot" and not missing[0].failed.exists():
            name = next(f"{n + 1}_1" for n, sent in enumerate(scheduler.sent) if sent is job)
            scheduler.ends[name] = "memory"
            fate.note_taken(missing[0], name, "n1", Path("log"))
        if job.kind == "pilot" and number == 1 and not missing[1].manifest.exists():
            finish(missing[1])

    scheduler.does = die
    assert carry_out(trained, engine).status == 1
    pilots = [job for job in scheduler.sent if job.kind == "pilot"]
    assert [job.memory for job in pilots] == [1.0, 2.0] and pilots[1].command[-1] == "1"
    assert "killed for memory in job" in missing[0].failed.read_text()
    assert "killed for memory (results/quick/cluster/1_1.pilot.log)" in capsys.readouterr().out


def test_pilots_that_were_cancelled_by_hand_are_not_sent_again(
    trained: Experiment, engine: Engine, scheduler: Scheduler, missing: list[Run]
) -> None:
    scheduler.ends = {"1_1": "cancelled", "1_2": "cancelled"}
    outcome = carry_out(trained, engine)
    assert outcome.status == 1 and "job 1_1: cancelled" in outcome.messages
    assert [job.kind for job in scheduler.sent] == ["pilot", "tables"]


def test_a_run_that_fails_is_shown_and_not_tried_again(
    trained: Experiment, engine: Engine, scheduler: Scheduler, missing: list[Run], capsys: pytest.CaptureFixture
) -> None:
    def fail(job: Job) -> None:
        for run in missing:
            if job.kind == "pilot" and not run.failed.exists():
                write_json(run.failed, {"run": run.key, "error": "abort", "attempts": 1})
                (run.folder / "job.log").write_text(f"error: {run.key}: abort\n")

    scheduler.does = fail
    assert carry_out(trained, engine).status == 1
    assert capsys.readouterr().out.count(": abort") == 2
    assert len([job for job in scheduler.sent if job.kind == "pilot"]) == 1
