"""Sweeps on a real Slurm of three nodes on this machine, and what happens to them when something dies."""

import json
import os
import re
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil
import pytest

from tests.helpers import real_slurm, trained_project
from tests.helpers.real_slurm import RealSlurm
from tools import status
from tools.cluster import fate
from tools.cluster.executor import Job
from tools.cluster.order import Order, place_order
from tools.cluster.profile import load_profile
from tools.cluster.slurm import Slurm
from tools.planning.state import make_plan, set_aside_stale_manifests
from tools.protocol.experiment import load
from tools.protocol.layout import Run, results_folder
from tools.protocol.runs import find_run
from tools.training.engine import Engine

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(bool(real_slurm.why_not()), reason=f"Slurm: {real_slurm.why_not()}"),
]

PROFILE = {"executor": "slurm", "pilots": 3, "cpus": 1, "memory": 0.6, "hours": 5, "poll": 0.5}
PROFILE |= {"prepare_cpus": 1, "prepare_memory": 1.5, "prepare_hours": 0.2}
LONG = "max_iter=20000000 test_interval=2000000 display=100 snapshot=20000000"  # of the three small layers: minutes
KEY = "A2B/n0012/base/seed0"


@pytest.fixture(scope="module")
def slurm(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RealSlurm]:
    cluster = RealSlurm(tmp_path_factory.mktemp("slurm"), nodes=3)
    yield cluster
    cluster.close()


@pytest.fixture
def shared(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, slurm: RealSlurm, caffe: Path, checkout: Path) -> Path:
    """A project's root that all nodes see: the current folder."""
    monkeypatch.chdir(tmp_path)
    for name in ("SLURM_CONF", "PATH"):
        monkeypatch.setenv(name, slurm.environment[name])
    for name, value in {"CAFFE": str(caffe), "GPUS": "", "PYTHONPATH": str(checkout), "OMP_NUM_THREADS": "1"}.items():
        monkeypatch.setenv(name, value)
    write_profile()
    trained_project.write_project(tmp_path / "images")
    return tmp_path


@pytest.fixture
def order(shared: Path, caffe: Path) -> Callable[..., Order]:
    """`order(overrides, **profile)` places an order of the project, whose data are made here."""

    def place(overrides: str = "", **profile: object) -> Order:
        write_profile(**profile)
        exp, engine = load(Path("experiments/quick.yaml"), overrides), Engine(caffe)
        trained_project.prepare(exp)
        plan = make_plan(exp, engine)
        set_aside_stale_manifests(exp, engine, plan)
        return place_order(exp, engine, load_profile("slurm"), plan)

    return place


def write_profile(**changes: object) -> None:
    file = Path("experiments/profiles/slurm.yaml")
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text("".join(f"{key}: {value}\n" for key, value in (PROFILE | changes).items()))


def send_pilots(order: Order, count: int, **more: object) -> str:
    return order.executor.submit(order.job("pilot", count, **more))


def run_of(order: Order, key: str = KEY) -> Run:
    return find_run(order.exp, order.engine.name, key)


def is_training(run: Run) -> bool:
    log = run.folder / "caffe.log"
    return log.exists() and "Iteration 100 " in log.read_text() and not run.manifest.exists()


def suspend_trainings() -> None:
    """Stops the engines that train in the current folder, until they get a signal to go on."""
    for process in psutil.process_iter(["cmdline", "cwd"]):
        if process.info["cwd"] == os.getcwd() and "train" in (process.info["cmdline"] or ()):
            process.suspend()


def start_sweep(*more: str) -> "subprocess.Popen[str]":
    command = [sys.executable, "-m", "tools", "sweep", "experiments/quick.yaml", "--executor", "slurm", *more]
    return subprocess.Popen(command, env=os.environ, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)


def test_a_whole_sweep_on_three_nodes_whose_submitter_is_killed_and_started_again(
    shared: Path, slurm: RealSlurm
) -> None:
    """Killed while its jobs are queued and running. Nothing is sent twice, no run is trained twice, nothing is lost."""
    before = slurm.states().keys()
    logs = Path("results/quick/cluster")
    first = start_sweep()
    slurm.wait_for(lambda: len(slurm.states().keys() - before) == 5, "the jobs: data, three pilots, tables")
    first.kill()
    first.wait()
    assert "RUNNING" in slurm.states().values() or "PENDING" in slurm.states().values()
    second = start_sweep()
    slurm.wait_for(lambda: "jobs: " in (second.stdout.readline() if second.stdout else ""), "a look at the queue")
    rival = start_sweep()
    said, _ = rival.communicate(timeout=60)
    assert rival.returncode == 2 and "another process submits this sweep" in said
    said, _ = second.communicate(timeout=300)
    assert second.returncode == 0, said
    assert "quick: done in" in said and Path("results/quick/report.html").exists()
    manifests = [json.loads(path.read_text()) for path in Path("models").rglob("manifest.json")]
    assert len(manifests) == 5 and {record["attempts"] for record in manifests} == {1}
    new = {job: state for job, state in slurm.states().items() if job not in before}
    assert sorted(re.sub(r"^[\d_]+\.|\.log$", "", log.name) for log in logs.glob("*.log")) == [
        "data",
        *["pilot"] * 3,
        "tables",
    ]
    assert len(new) == 5 and set(new.values()) == {"COMPLETED"}
    for path in Path("models").rglob("manifest.json"):
        words = (path.parent / "job.log").read_text().splitlines()
        log = Path(words[0].rpartition("; ")[2])
        assert words[0].startswith("# job ") and words[-1] in log.read_text(), "the run names its job's log"


def test_another_pilot_takes_the_run_of_a_node_that_died(order: Callable[..., Order], slurm: RealSlurm) -> None:
    """The kernel frees the locks of the dead. Slurm puts its job back into the queue."""
    placed = order(
        "max_iter=40000 test_interval=20000 display=100 snapshot=1000000 sizes=[12] conditions=[base]", pilots=2
    )
    send_pilots(placed, 2)
    run = run_of(placed)
    slurm.wait_for(lambda: is_training(run), "training")
    node = fate.record_of(run)["node"]
    first = fate.record_of(run)["job"]
    slurm.kill_node(node)
    try:
        slurm.wait_for(run.manifest.exists, "finished run")
        manifest = json.loads(run.manifest.read_text())
        assert manifest["attempts"] == 2 and manifest["result"]["iters"] == 40000
        assert [(kill["job"], kill["why"]) for kill in fate.record_of(run)["kills"]] == [(first, "node")]
    finally:
        slurm.start_node(node)
        slurm.call("scancel", "--me")


def test_a_job_cancelled_by_hand_leaves_its_run_to_others(order: Callable[..., Order], slurm: RealSlurm) -> None:
    placed = order("max_iter=40000 test_interval=20000 display=100 snapshot=1000000 sizes=[12] conditions=[base]")
    first = send_pilots(placed, 1)
    run = run_of(placed)
    slurm.wait_for(lambda: is_training(run), "training")
    slurm.call("scancel", first)
    slurm.wait_for(lambda: slurm.states()[f"{first}_1"] == "CANCELLED", "end of the job")
    assert not run.failed.exists() and not run.manifest.exists(), "no failure of the run"
    send_pilots(placed, 1)
    slurm.wait_for(run.manifest.exists, "finished run")
    assert [(kill["job"], kill["why"]) for kill in fate.record_of(run)["kills"]] == [(f"{first}_1", "cancelled")]


def test_a_run_whose_time_was_over_is_told_so_and_given_up_after_its_retries(
    order: Callable[..., Order], slurm: RealSlurm, capsys: pytest.CaptureFixture
) -> None:
    """Slurm looks for jobs whose time is over every half minute."""
    placed = order(f"{LONG} sizes=[12] conditions=[base]", retries=0)
    run = run_of(placed)
    first = f"{send_pilots(placed, 1)}_1"
    slurm.wait_for(lambda: is_training(run), "training")
    slurm.call("scontrol", "update", f"jobid={first}", "TimeLimit=0")
    slurm.wait_for(lambda: slurm.states()[first] == "TIMEOUT", "end of the time")
    log = f"results/{run.experiment}/cluster/{first}.pilot.log"
    assert "DUE TO TIME LIMIT" in Path(log).read_text() and not run.failed.exists()
    send_pilots(placed, 1)
    slurm.wait_for(run.failed.exists, "a pilot that gives the run up")
    status.main(["experiments/quick.yaml", "--set", placed.exp.overrides])
    assert f"killed for time in job {first} ({log}); set more `hours` in the profile" in capsys.readouterr().out


def test_a_run_whose_time_was_over_is_tried_again_in_a_job_with_more_time(shared: Path, slurm: RealSlurm) -> None:
    """And the submitting process, which lives, says why."""
    overrides = "sizes=[12] conditions=[base] max_iter=60000 test_interval=60000 snapshot=60000 display=100"
    exp = load(Path("experiments/quick.yaml"), overrides)
    write_profile(pilots=1, hours=1, more=3)
    before = slurm.states().keys()
    submitter = start_sweep("--set", overrides)
    run = find_run(exp, "caffe", KEY)
    slurm.wait_for(lambda: is_training(run), "training")
    suspend_trainings()  # else it may end before Slurm looks for jobs whose time is over, every half minute
    (first,) = (job for job in slurm.states() if job not in before and "_" in job)
    slurm.call("scontrol", "update", f"jobid={first}", "TimeLimit=0")
    limits = lambda: slurm.call("squeue", "-h", "-t", "R", "-o", "%j %l")  # noqa: E731
    slurm.wait_for(lambda: "3:00:00" in limits(), "a pilot with three hours")
    said, _ = submitter.communicate(timeout=180)
    assert submitter.returncode == 0, said
    assert f"job {first}: killed for time; set more `hours` in the profile (" in said
    assert [(kill["job"], kill["why"]) for kill in fate.record_of(run)["kills"]] == [(first, "time")]
    assert json.loads(run.manifest.read_text())["attempts"] == 2


def test_a_job_that_took_too_much_memory_is_told_so(order: Callable[..., Order], slurm: RealSlurm) -> None:
    placed = order("sizes=[12] conditions=[base] directions=[A2B]", memory=0.02)
    job = send_pilots(placed, 1)
    slurm.wait_for(lambda: slurm.states()[f"{job}_1"] not in ("PENDING", "RUNNING", "COMPLETING"), "end of the job")
    log = placed.executor.log_file(placed.folder, "pilot", f"{job}_1")
    assert placed.executor.ending(f"{job}_1", log) == "memory"


def test_each_job_of_an_array_knows_the_time_that_is_left_to_it(shared: Path, slurm: RealSlurm) -> None:
    """One of them has the array's own number as its SLURM_JOB_ID, by which squeue tells of all."""
    words = "from tools.cluster.profile import load_profile; from tools.cluster.slurm import Slurm; import time; "
    words += "time.sleep(2); print('left', Slurm(load_profile('slurm')).seconds_left(), flush=True); time.sleep(3)"
    pilots = Job("pilot", "left-pilot", 3, (sys.executable, "-P", "-c", words), shared, 1, 0, 0.2, 0.1)
    number = Slurm(load_profile("slurm")).submit(pilots)
    logs = [shared / f"{number}_{task}.pilot.log" for task in (1, 2, 3)]
    slurm.wait_for(lambda: all(log.exists() and "left" in log.read_text() for log in logs), "answers of three jobs")
    assert all(300 < float(log.read_text().split()[-1]) < 360 for log in logs), [log.read_text() for log in logs]


def test_jobs_go_on_to_the_end_by_themselves_after_their_submitter_was_killed(shared: Path, slurm: RealSlurm) -> None:
    """The first pilot has time for one of the three runs, so another follows it, and then the tables."""
    overrides = "sizes=[12] max_iter=30000 test_interval=30000 snapshot=30000 display=100"  # seconds
    results = results_folder(load(Path("experiments/quick.yaml"), overrides), "caffe")
    write_profile(pilots=1, margin=60)
    before = slurm.states().keys()
    submitter = start_sweep("--set", overrides)
    slurm.wait_for(lambda: len(slurm.states().keys() - before) == 3, "the jobs: data, a pilot, tables")
    submitter.kill()
    submitter.wait()
    logs = Path("models").rglob
    slurm.wait_for(lambda: any("Iteration 100 " in log.read_text() for log in logs("caffe.log")), "training")
    (pilot,) = (job for job in slurm.states() if job not in before and "_" in job)
    slurm.call("scontrol", "update", f"jobid={pilot}", "TimeLimit=2")  # minutes; a second run would need margin * 4 s
    at_a_time = 0

    def is_done() -> bool:
        nonlocal at_a_time
        running = slurm.call("squeue", "-h", "-t", "R", "-o", "%j").split()
        at_a_time = max(at_a_time, sum("-pilot-" in name for name in running))
        return (results / "summary.csv").exists()

    slurm.wait_for(is_done, "the tables")
    slurm.call("scancel", "--me")
    manifests = [json.loads(path.read_text()) for path in Path("models").rglob("manifest.json")]
    assert len(manifests) == 3 and {record["attempts"] for record in manifests} == {1}
    pilots = list((results / "cluster").glob("*.pilot.log"))
    assert len(pilots) > 1 and at_a_time <= 2, "one that ends, and its successor"
    assert any("no submitting process lives, so this job has sent: 1 pilot" in log.read_text() for log in pilots)
    ends = {state for job, state in slurm.states().items() if job not in before and "_" in job}
    assert ends == {"COMPLETED"}
