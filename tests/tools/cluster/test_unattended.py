"""What jobs send while no submitting process lives."""

import os
from pathlib import Path

import pytest

from tests.helpers.memory_scheduler import PROFILE, Scheduler
from tools.cluster import unattended
from tools.cluster.order import Order, place_order, sole_submitter
from tools.cluster.unattended import carry_on, is_unattended, send_more
from tools.common.files import write_json
from tools.planning.state import make_plan
from tools.protocol.experiment import Experiment
from tools.protocol.layout import Run
from tools.training.engine import Engine


@pytest.fixture
def order(trained: Experiment, engine: Engine, scheduler: Scheduler, missing: list[Run]) -> Order:
    return place_order(trained, engine, PROFILE, make_plan(trained, engine))


def kinds(scheduler: Scheduler) -> list[tuple[str, int]]:
    return [(job.kind, job.count) for job in scheduler.sent]


def test_a_job_sends_what_is_missing_once(order: Order, scheduler: Scheduler, capsys: pytest.CaptureFixture) -> None:
    carry_on(order, "")
    carry_on(order, "")
    assert kinds(scheduler) == [("pilot", 2), ("tables", 1)]
    assert "no submitting process lives, so this job has sent: 2 pilot" in capsys.readouterr().out


def test_a_job_that_is_about_to_end_does_not_count(order: Order, scheduler: Scheduler) -> None:
    carry_on(order, "")
    carry_on(order, "1_2")
    assert kinds(scheduler)[2:] == [("pilot", 1)], "its place is free; the tables are in the queue"


def test_nothing_is_sent_while_a_submitting_process_lives(order: Order, scheduler: Scheduler) -> None:
    with sole_submitter(order.folder):
        assert not is_unattended(order)
        carry_on(order, "")
        send_more(order, {})
    assert not scheduler.sent and is_unattended(order)


def test_jobs_that_did_nothing_are_not_sent_again(
    order: Order, scheduler: Scheduler, capsys: pytest.CaptureFixture
) -> None:
    carry_on(order, "")
    scheduler.queue.clear()
    carry_on(order, "")
    assert len(scheduler.sent) == 2
    assert "2 runs are not done, and nothing was done since the last jobs" in capsys.readouterr().out


def test_after_something_was_done_jobs_are_sent_again(order: Order, scheduler: Scheduler, missing: list[Run]) -> None:
    carry_on(order, "")
    scheduler.queue.clear()
    (missing[0].folder / "kept.json").rename(missing[0].manifest)
    carry_on(order, "")
    assert kinds(scheduler)[2:] == [("pilot", 1), ("tables", 1)]


def test_after_a_job_was_cancelled_by_hand_none_is_sent(
    order: Order, scheduler: Scheduler, capsys: pytest.CaptureFixture
) -> None:
    (order.folder / "8_1.pilot.log").touch()
    scheduler.ends["8_1"] = "cancelled"
    carry_on(order, "")
    assert not scheduler.sent and "a job was cancelled by hand" in capsys.readouterr().out
    os.utime(order.folder / "8_1.pilot.log", (0, 0))  # of an earlier order
    carry_on(order, "")
    assert kinds(scheduler) == [("pilot", 2), ("tables", 1)]


def test_runs_that_have_failed_are_not_sent_again(
    order: Order, scheduler: Scheduler, missing: list[Run], capsys: pytest.CaptureFixture
) -> None:
    for run in missing:
        write_json(run.failed, {"run": run.key, "error": "abort", "attempts": 1})
    carry_on(order, "")
    assert not scheduler.sent and "have failed, or what they copy from has" in capsys.readouterr().out


def test_where_nothing_can_be_sent_from_a_node_the_job_says_so_and_ends_well(
    order: Order, missing: list[Run], checkout: Path, capfd: pytest.CaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    """squeue ends at once if its configuration names no controller. If there is no such file it waits for a minute."""
    Path("slurm.conf").write_text("ClusterName=nowhere\n")
    monkeypatch.setattr(Order, "inside", type("", (), {"own_job": lambda self: "1_1"})())
    send_more(order, os.environ | {"PYTHONPATH": str(checkout), "SLURM_CONF": str(Path("slurm.conf").absolute())})
    assert "note: no further jobs could be sent from here: squeue: " in capfd.readouterr().err
    assert unattended.LEFT not in os.listdir(order.folder)
