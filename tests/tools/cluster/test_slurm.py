"""What Slurm is asked, and what its answers mean, without a Slurm: tests/sweep/test_slurm.py has a real one."""

import os
from pathlib import Path

import pytest

from tools.cluster.executor import Job, Unreachable
from tools.cluster.profile import SlurmProfile
from tools.cluster.slurm import Slurm
from tools.common.errors import UserError


def slurm(**keys: object) -> Slurm:
    needs = {"executor": "slurm", "pilots": 2, "cpus": 4, "memory": 1.0, "hours": 1.0}
    return Slurm(SlurmProfile(**needs | keys))


PILOT = Job("pilot", "abc-pilot", 3, ("python3", "-m", "x y"), Path("logs"), 4, 1, 1.5, 0.51)


@pytest.fixture
def answers(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):  # type: ignore[no-untyped-def]
    """`answers(text, status)`: what squeue prints from now on, as the program of that name on the PATH."""
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")

    def answer(text: str, status: int = 0) -> None:
        (tmp_path / "answer").write_text(text)
        stream = "" if status == 0 else " >&2"
        (tmp_path / "squeue").write_text(f"#!/bin/sh\ncat '{tmp_path}/answer'{stream}\nexit {status}\n")
        (tmp_path / "squeue").chmod(0o755)

    return answer


def test_the_options_of_a_submission_are_the_profiles() -> None:
    options = slurm(partition="gpu", account="lab", options=["--qos=long"]).options(PILOT)
    wanted = {"--partition=gpu", "--account=lab", "--qos=long", "--gres=gpu:1", "--cpus-per-task=4", "--mem=1536M"}
    assert wanted | {"--time=31", "--array=1-3", "--requeue"} <= set(options)
    assert f"--output={Path('logs').absolute()}/%A_%a.pilot.log" in options
    tables = Job("tables", "abc-tables", 1, ("x",), Path("logs"), 2, 0, 8, 1, after=("5", "6"))
    options = slurm(partition="gpu", prepare_partition="cpu").options(tables)
    assert {"--partition=cpu", "--dependency=afterany:5:6", "--kill-on-invalid-dep=yes"} <= set(options)
    assert not any(option.startswith(("--gres", "--array")) for option in options)


def test_the_script_prepares_the_node_and_enters_the_container() -> None:
    script = slurm(setup=["module load cuda"], container="apptainer exec --nv a.sif").script(PILOT)
    assert script.startswith("#!/bin/sh\nmodule load cuda\nexport PYTHONPATH=")
    assert script.endswith("\nexec apptainer exec --nv a.sif python3 -m 'x y'\n")


@pytest.mark.parametrize(
    ("said", "seconds"),
    [("2-03:04:05\n", 183845.0), ("1:02:03", 3723.0), ("4:05", 245.0), ("UNLIMITED", float("inf")), ("INVALID", 0.0)],
)
def test_the_time_that_is_left_is_read(answers, monkeypatch: pytest.MonkeyPatch, said: str, seconds: float) -> None:
    monkeypatch.setenv("SLURM_JOB_ID", "7")
    answers(said)
    assert slurm().seconds_left() == seconds


def test_jobs_that_are_queued_or_running_are_told_with_their_reason(answers) -> None:
    answers("3_1|abc-pilot|RUNNING|None\n3_2|abc-pilot|PENDING|Priority\n")
    first, second = slurm().alive(("abc-pilot",))
    assert (first.id, first.is_running, first.state) == ("3_1", True, "RUNNING")
    assert (second.id, second.is_running, second.state) == ("3_2", False, "PENDING (Priority)")


@pytest.mark.parametrize(
    ("state", "log", "why"),
    [
        ("RUNNING", "", None),
        ("TIMEOUT", "", "time"),
        ("OUT_OF_MEMORY", "", "memory"),
        ("NODE_FAIL", "", "node"),
        ("CANCELLED", "", "cancelled"),
        ("COMPLETED", "", "ended"),
        ("FAILED", "error: StepId=5.batch exceeded memory limit (9 > 1), being killed", "memory"),
        ("", "slurmstepd: error: *** JOB 5 ON n1 CANCELLED AT 2026-11-28T23:03:04 DUE TO TIME LIMIT ***", "time"),
        ("", "slurmstepd: error: Detected 1 oom_kill event in StepId=5.batch. Some of the step", "memory"),
        ("", "slurmstepd: error: *** JOB 5 ON n1 CANCELLED AT 2026-11-28T23:03:04 DUE TO NODE FAILURE", "node"),
        ("", "slurmstepd-n1: error: *** JOB 5 ON n1 CANCELLED AT 2026-11-28T23:17:49 ***", "cancelled"),
        ("", "[5/5] done", "ended"),
    ],
)
def test_how_a_job_ended_is_told_by_squeue_or_by_its_log(
    answers, tmp_path: Path, state: str, log: str, why: str | None
) -> None:
    (tmp_path / "log").write_text(log)
    answers(state)
    assert slurm().ending("5", tmp_path / "log") == why


def test_a_job_that_slurm_has_forgotten_has_ended(answers, tmp_path: Path) -> None:
    answers("slurm_load_jobs error: Invalid job id specified\n", 1)
    assert slurm().ending("5", tmp_path / "none") == "ended"


@pytest.mark.parametrize(
    ("reason", "said"),
    [("PartitionTimeLimit", "PartitionTimeLimit: it never starts: `hours`"), ("JobHeldUser", "scontrol release")],
)
def test_a_job_that_would_wait_for_ever_says_so(answers, reason: str, said: str) -> None:
    answers(f"3_1|abc-pilot|PENDING|{reason}\n")
    (job,) = slurm().alive(("abc-pilot",))
    assert said in job.state


def test_a_refusal_names_the_job_and_what_it_asked_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    (tmp_path / "sbatch").write_text("#!/bin/sh\necho sbatch: error: no such node >&2; exit 1\n")
    (tmp_path / "sbatch").chmod(0o755)
    asked = "--cpus-per-task=4 --mem=1536M --time=31 --gres=gpu:1 --array=1-3 --qos=long; see experiments/profiles/"
    with pytest.raises(UserError, match=f"error: no such node; asked for each pilot job: {asked}"):
        slurm(options=["--qos=long"]).submit(PILOT)


def test_a_controller_that_does_not_answer_is_no_refusal(answers) -> None:
    answers("slurm_load_jobs error: Unable to contact slurm controller (connect failure)\n", 1)
    with pytest.raises(Unreachable):
        slurm().alive(("a",))
    answers("squeue: error: Invalid user: nobody\n", 1)
    with pytest.raises(UserError, match="squeue: exit 1: squeue: error: Invalid user: nobody") as refusal:
        slurm().alive(("a",))
    assert not isinstance(refusal.value, Unreachable)


def test_without_slurm_the_error_says_where_it_works(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(UserError, match="sbatch: no such command here; EXECUTOR=slurm works on a login node"):
        slurm().submit(PILOT)
