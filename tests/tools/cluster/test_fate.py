"""Which job had a run, how it ended, and when a run is given up."""

from pathlib import Path

from tests.helpers.finished_runs import run_of
from tools.cluster import fate
from tools.common.files import load_json

KEY = "A2B/n0060/S3T/seed0"


def test_a_run_remembers_its_job_and_how_earlier_ones_ended(root: Path) -> None:
    run = run_of(KEY)
    assert fate.told(run) == "" and fate.record_of(run)["job"] == ""
    fate.note_taken(run, "11_1", "n1", Path("results/demo/cluster/11_1.pilot.log"))
    fate.note_killed(run, "memory")
    assert fate.told(run) == (
        "killed for memory in job 11_1 (results/demo/cluster/11_1.pilot.log); set more `memory` in the profile"
    )
    fate.note_taken(run, "12_1", "n2", Path("log"))
    assert fate.record_of(run)["job"] == "12_1" and fate.kills(run, "memory") == 1
    fate.note_killed(run, "node")
    assert fate.told(run) == "its node failed, or it was requeued in job 12_1 (log), 2 times in all"
    fate.forgive(run)
    assert fate.told(run) == ""


def test_a_run_is_given_up_after_its_retries_but_not_for_failed_nodes(root: Path) -> None:
    run = run_of(KEY)
    for number, why in enumerate(("node", "cancelled", "node", "time", "memory")):
        fate.note_taken(run, f"{number}", "n1", Path("log"))
        fate.note_killed(run, why)
        assert not fate.give_up(run, retries=2) and not run.failed.exists()
    fate.note_taken(run, "9", "n1", Path("log"))
    fate.note_killed(run, "time")
    assert fate.give_up(run, retries=2)
    assert load_json(run.failed)["error"].startswith("killed for time in job 9 (log), 6 times in all; set more `hours`")


def test_a_run_that_has_ended_has_no_job(root: Path) -> None:
    run = run_of(KEY)
    fate.note_taken(run, "11_1", "n1", Path("log"))
    fate.note_left(run)
    assert fate.record_of(run)["job"] == "" and fate.told(run) == ""
