"""The submitting process beside a scheduler that is a list in memory. tests/sweep/test_slurm.py has a real one."""

from pathlib import Path

import pytest

from tests.helpers.memory_scheduler import PROFILE, Scheduler
from tools.cluster import fate, submit
from tools.cluster.executor import Job
from tools.cluster.order import place_order
from tools.cluster.submit import carry_out_on
from tools.common.files import write_json
from tools.planning.graph import Outcome
from tools.planning.state import make_plan
from tools.protocol.experiment import Experiment
from tools.protocol.layout import Run
from tools.training.engine import Engine


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


def test_a_changed_profile_holds_for_jobs_that_wait_since_before(
    trained: Experiment, engine: Engine, scheduler: Scheduler, missing: list[Run], capsys: pytest.CaptureFixture
) -> None:
    plan, more = make_plan(trained, engine), PROFILE.model_copy(update={"hours": 2.0})
    order = place_order(trained, engine, more, plan)
    scheduler.queue = {"8_1": (order.job("pilot"), 0), "8_2": (order.job("pilot"), 0), "9": (order.job("tables"), 0)}
    scheduler.waits = {"8_2", "9"}
    carry_out_on(more, trained, engine, plan)
    assert not scheduler.cancelled, "the same profile"
    place_order(trained, engine, more, plan)
    scheduler.queue = {"8_1": (order.job("pilot"), 0), "8_2": (order.job("pilot"), 0), "9": (order.job("tables"), 0)}
    carry_out(trained, engine)
    assert scheduler.cancelled == ["8_2", "9"]
    assert "the profile has changed: 2 jobs that had not begun are sent again" in capsys.readouterr().out


def test_the_data_come_first_where_they_are_missing(
    trained: Experiment, engine: Engine, scheduler: Scheduler, missing: list[Run]
) -> None:
    next(Path("data").rglob("mean.json")).unlink()
    carry_out(trained, engine)
    data, pilots = scheduler.sent[:2]
    assert (data.kind, pilots.kind, pilots.after, pilots.after_success) == ("data", "pilot", ("1",), True)


def test_a_job_that_never_began_is_told_so(
    trained: Experiment, engine: Engine, scheduler: Scheduler, missing: list[Run]
) -> None:
    """What Slurm does with pilots when the data's job has failed (--kill-on-invalid-dep)."""
    scheduler.ends = {"1_1": "cancelled", "1_2": "cancelled"}
    messages = carry_out(trained, engine).messages
    assert "1_1, and 1 more like it: cancelled before it began, by hand or because the job that it waited" in messages


def test_jobs_that_die_before_the_next_look_are_told(
    trained: Experiment, engine: Engine, scheduler: Scheduler, missing: list[Run], monkeypatch: pytest.MonkeyPatch
) -> None:
    scheduler.ends = {"1_1": "memory", "1_2": "memory"}
    rest = submit._Watch._rest

    def long_rest(watch: submit._Watch) -> None:
        scheduler.queue = {job: entry for job, entry in scheduler.queue.items() if entry[0].kind != "pilot"}
        rest(watch)

    monkeypatch.setattr(submit._Watch, "_rest", long_rest)
    outcome = carry_out(trained, engine)
    assert (
        outcome.status == 1
        and ("job 1_1, and 1 more like it: killed for memory; set more `memory` in the profile") in outcome.messages
    )


def test_jobs_that_do_nothing_end_the_sweep_with_what_they_said(
    trained: Experiment, engine: Engine, scheduler: Scheduler, missing: list[Run]
) -> None:
    def complain(job: Job) -> None:
        (job.logs / "1_1.pilot.log").write_text("error: no disk\n")

    scheduler.does = complain
    outcome = carry_out(trained, engine)
    said = "job 1_1, and 1 more like it: ended by itself; results/quick/cluster/1_1.pilot.log ends:"
    assert outcome.status == 1 and said in outcome.messages
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
    assert (
        "killed for memory; set more `memory` in the profile (results/quick/cluster/1_1.pilot.log)"
        in capsys.readouterr().out
    )


def test_pilots_that_were_cancelled_by_hand_are_not_sent_again(
    trained: Experiment, engine: Engine, scheduler: Scheduler, missing: list[Run]
) -> None:
    def log(job: Job) -> None:
        (job.logs / "1_1.pilot.log").write_text("# pilot on n1\n")

    scheduler.does, scheduler.ends = log, {"1_1": "cancelled", "1_2": "cancelled"}
    outcome = carry_out(trained, engine)
    assert outcome.status == 1 and "job 1_1, and 1 more like it: cancelled; results/" in outcome.messages
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
