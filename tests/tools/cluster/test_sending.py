"""What is missing of a sweep's jobs, and what is sent."""

from dataclasses import replace
from pathlib import Path

import pytest

from tests.helpers.memory_scheduler import PROFILE, Scheduler
from tools.cluster import fate
from tools.cluster.order import place_order
from tools.cluster.sending import Sender, of_kinds
from tools.common.errors import UserError
from tools.common.files import load_json, lock, write_json
from tools.planning.state import make_plan
from tools.protocol.experiment import Experiment
from tools.protocol.layout import Run
from tools.training.engine import Engine


@pytest.fixture
def sender(trained: Experiment, engine: Engine, scheduler: Scheduler, missing: list[Run]) -> Sender:
    plan = make_plan(trained, engine)
    return Sender(place_order(trained, engine, PROFILE, plan), plan, of_kinds({}))


def test_a_pilot_for_each_run_that_can_begin_and_no_more_than_the_profile_says(
    sender: Sender, missing: list[Run]
) -> None:
    assert sender.takeable() == sender.open() == missing and sender.missing_pilots() == 2
    sender.alive = of_kinds({"1_1": "pilot"})
    assert sender.missing_pilots() == 1
    sender.cancelled = 1
    assert sender.missing_pilots() == 0, "one that was cancelled by hand is not replaced"
    sender.alive, sender.cancelled = of_kinds({}), 0
    (missing[0].folder / ".taken").touch()
    with lock(missing[0].folder / ".taken"):
        assert sender.missing_pilots() == 1, "somebody works on the other run"
    write_json(missing[0].failed, {})
    assert sender.open() == missing[1:]


def test_what_is_sent_is_what_the_queue_has_not(sender: Sender, scheduler: Scheduler) -> None:
    assert [(job.kind, job.count) for job in sender.send()] == [("pilot", 2), ("tables", 1)]
    sender.alive = of_kinds({"1_1": "pilot", "1_2": "pilot", "2": "tables"})
    assert sender.send() == [] and len(scheduler.sent) == 2


def test_what_a_busy_scheduler_did_not_take_was_not_sent(
    sender: Sender, scheduler: Scheduler, capsys: pytest.CaptureFixture
) -> None:
    scheduler.refuses = True
    assert sender.send() == []
    assert "what was not sent is sent later" in capsys.readouterr().out


def test_where_a_job_is_refused_those_sent_before_it_are_removed(sender: Sender, scheduler: Scheduler) -> None:
    next(Path("data").rglob("mean.json")).unlink()
    sender.plan = make_plan(sender.order.exp, sender.order.engine)
    sender.order = replace(sender.order, profile=PROFILE.model_copy(update={"prepare_memory": 0.5}))
    scheduler.most = 0.7
    with pytest.raises(UserError, match="Memory specification"):
        sender.send()
    assert [job.kind for job in scheduler.sent] == ["data"] and scheduler.cancelled == ["1"]


def test_a_run_that_cannot_get_more_memory_fails_and_the_others_go_on(
    sender: Sender, scheduler: Scheduler, missing: list[Run], capsys: pytest.CaptureFixture
) -> None:
    """No node has so much. Else every call would be refused, and no other run could be done."""
    fate.note_taken(missing[0], "9_1", "n1", Path("9_1.pilot.log"))
    fate.note_killed(missing[0], "memory")
    scheduler.most, sender.order = (
        1.5,
        replace(sender.order, profile=PROFILE.model_copy(update={"prepare_memory": 1.0})),
    )
    assert [(job.kind, job.count, job.memory) for job in sender.send()] == [("pilot", 1, 1.0), ("tables", 1, 1.0)]
    error = load_json(missing[0].failed)["error"]
    assert error.startswith(
        "killed for memory in job 9_1 (9_1.pilot.log); set more `memory` in the profile. With more "
    )
    assert "Memory specification can not be satisfied" in error and error in capsys.readouterr().out
    write_json(missing[1].failed, {"error": ""})
    assert sender.open() == []


def test_a_run_whose_job_is_gone_is_noted(sender: Sender, scheduler: Scheduler, missing: list[Run]) -> None:
    fate.note_taken(missing[0], "9_1", "n1", sender.order.folder / "9_1.pilot.log")
    scheduler.ends["9_1"] = "time"
    before = sender.progress()
    sender.settle()
    assert fate.kills(missing[0], "time") == 1 and sender.progress() != before
