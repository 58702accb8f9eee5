"""A pilot's choice of runs, with programs of the shell in the place of trainings."""

import os
import signal
import threading
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.helpers.finished_runs import run_of
from tools.cluster import fate
from tools.cluster.pilot import Pilot
from tools.common.files import load_json, lock, write_json
from tools.planning.state import Plan
from tools.protocol.layout import Run

SOURCE, TARGET, OTHER = (run_of(f"A2B/n0060/{name}/seed0") for name in ("base", "S3T", "FTall"))


def done(run: Run) -> list[str]:
    """Ends well, and notes in `order` that it ran."""
    return ["sh", "-c", f"echo {run.condition} $GPUS >>order; echo '[1/1] {run.key}'; echo {{}} >{run.manifest}"]


@pytest.fixture
def pilot(root: Path) -> Callable[..., Pilot]:
    """`pilot(runs)`: of those that wait; S3T copies from base."""

    def make(*runs: Run, command: Callable[[Run], list[str]] = done, **more: object) -> Pilot:
        plan = Plan({}, dict.fromkeys(runs, "waiting"), {TARGET: SOURCE})
        keys = {"job": "1_1", "log": Path("log"), "places": [None], "idle": 0.0}
        return Pilot(plan, command, lambda run: run.failed.exists(), **keys | more)

    return make


def ran() -> list[str]:
    return [line.strip() for line in Path("order").read_text().splitlines()] if Path("order").exists() else []


def test_all_runs_are_done_sources_first(pilot: Callable[..., Pilot], capsys: pytest.CaptureFixture) -> None:
    assert not pilot(SOURCE, TARGET, OTHER).work()
    assert ran() == ["base", "S3T", "FTall"]
    assert f"[1/1] {TARGET.key}" in capsys.readouterr().out
    assert (TARGET.folder / "job.log").read_text().startswith("# job 1_1 on ")
    assert not list(Path("models").rglob(".taken"))


def test_while_a_source_is_trained_elsewhere_other_runs_are_done(pilot: Callable[..., Pilot]) -> None:
    SOURCE.folder.mkdir(parents=True)
    with lock(SOURCE.lock):
        pilot(SOURCE, TARGET, OTHER).work()
    assert ran() == ["FTall"], "neither the source nor the run that waits for it"


def test_where_nobody_sends_another_pilot_one_waits_for_the_net_that_is_trained_elsewhere(
    pilot: Callable[..., Pilot],
) -> None:
    SOURCE.folder.mkdir(parents=True)
    (SOURCE.folder / ".taken").touch()
    with lock(SOURCE.folder / ".taken"):
        waiting = pilot(SOURCE, TARGET, waits=True)
        thread = threading.Thread(target=waiting.work)
        thread.start()
        thread.join(2.5)
        assert thread.is_alive() and not ran()
        write_json(SOURCE.manifest, {})
    thread.join(20)
    assert ran() == ["S3T"] and not waiting.left_free()


def test_a_pilot_that_waits_ends_when_others_work_on_all_that_is_left(pilot: Callable[..., Pilot]) -> None:
    OTHER.folder.mkdir(parents=True)
    (OTHER.folder / ".taken").touch()
    with lock(OTHER.folder / ".taken"):
        ends = pilot(OTHER, waits=True)
        assert not ends.work() and not ends.left_free()


def test_what_a_pilot_has_no_time_for_is_left(pilot: Callable[..., Pilot]) -> None:
    left = iter([100.0, 100.0, 40.0, 40.0, 40.0])
    short = pilot(SOURCE, OTHER, seconds=lambda run: 50.0, left=lambda: next(left), waits=True)
    assert not short.work() and short.finished == 1 and short.left_free()
    write_json(OTHER.failed, {"error": ""})
    assert not short.left_free(), "nobody tries it again"


def test_a_run_that_another_pilot_has_is_left_to_it(pilot: Callable[..., Pilot]) -> None:
    OTHER.folder.mkdir(parents=True)
    with lock(OTHER.folder / ".taken"):
        pilot(SOURCE, OTHER).work()
    assert ran() == ["base"]


def test_two_pilots_at_a_time_do_each_run_once(pilot: Callable[..., Pilot]) -> None:
    runs = [run_of(f"A2B/n{size:04}/base/seed0") for size in range(20)]
    pilots = [pilot(*runs, job=f"{number}_1", places=[None, None]) for number in range(2)]
    threads = [threading.Thread(target=each.work) for each in pilots]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(ran()) == 20 and all(run.manifest.exists() for run in runs)


def test_each_training_at_a_time_has_a_place_on_a_gpu(pilot: Callable[..., Pilot]) -> None:
    wait = 'echo $GPUS >>order; while [ "$(wc -l <order)" -lt 3 ]; do sleep 0.01; done; echo {} >'
    runs = [run_of(f"A2B/n{size:04}/base/seed0") for size in range(3)]
    pilot(*runs, command=lambda run: ["sh", "-c", f"{wait}{run.manifest}"], places=["4", "5", "4"]).work()
    assert sorted(ran()) == ["4", "4", "5"]


def test_a_run_that_fails_is_tried_once_and_what_copies_from_it_not_at_all(pilot: Callable[..., Pilot]) -> None:
    pilot(SOURCE, TARGET, command=lambda run: ["sh", "-c", f"echo {run.condition} >>order; echo no; exit 2"]).work()
    assert ran() == ["base"]
    assert load_json(SOURCE.failed)["error"] == "no"


def test_a_run_killed_for_memory_is_left_to_a_pilot_with_more(pilot: Callable[..., Pilot]) -> None:
    killed = lambda run: ["sh", "-c", "echo x >>order; kill -9 $$"]  # noqa: E731
    pilot(OTHER, command=killed).work()
    assert ran() == ["x"] and fate.kills(OTHER, "memory") == 1 and not OTHER.failed.exists()
    pilot(OTHER, command=killed).work()
    assert ran() == ["x"], "the level of this pilot is 0"
    pilot(OTHER, command=killed, level=1, retries=1).work()
    assert ran() == ["x", "x"] and "killed for memory" in load_json(OTHER.failed)["error"]


def test_a_run_whose_job_is_gone_is_begun_again_and_how_it_ended_is_noted(pilot: Callable[..., Pilot]) -> None:
    fate.note_taken(OTHER, "7_1", "n1", Path("7_1.pilot.log"))
    pilot(OTHER, ending=lambda job, log: {"7_1": "node"}[job]).work()
    assert ran() == ["FTall"] and fate.record_of(OTHER)["kills"] == [
        {"job": "7_1", "why": "node", "log": "7_1.pilot.log"}
    ]


def test_a_run_is_not_begun_if_its_time_is_not_left(pilot: Callable[..., Pilot]) -> None:
    left = iter([100.0, 100.0, 40.0, 40.0, 40.0])
    pilot(SOURCE, OTHER, seconds=lambda run: 50.0, left=lambda: next(left)).work()
    assert ran() == ["base"] and not OTHER.failed.exists()


def test_a_run_that_takes_longer_than_a_whole_pilot_fails_with_what_to_do(pilot: Callable[..., Pilot]) -> None:
    pilot(OTHER, seconds=lambda run: 7200.0, left=lambda: 3600.0).work()
    assert load_json(OTHER.failed)["error"] == (
        "its training takes about 2 hours, and a pilot has 1; set more `hours` in the profile"
    )


def test_a_pilot_that_is_told_to_end_leaves_no_failure(pilot: Callable[..., Pilot]) -> None:
    def command(run: Run) -> list[str]:
        return ["sh", "-c", f"kill -TERM {os.getpid()}; sleep 10"]

    before = signal.getsignal(signal.SIGTERM)
    write_json(OTHER.folder / "x", {})
    try:
        assert pilot(OTHER, command=command).work()
    finally:
        signal.signal(signal.SIGTERM, before)
    assert not OTHER.failed.exists() and not OTHER.manifest.exists()
    assert fate.record_of(OTHER)["job"] == "1_1", "the next pilot asks how it ended"
