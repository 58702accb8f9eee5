"""Slurm, by its commands sbatch, squeue and scancel. No accounting database (sacct) is needed."""

import math
import os
import re
import shlex
import subprocess
import time
from pathlib import Path

from tools.cluster.executor import CANCELLED, ENDED, MEMORY, NODE, TIME, Job, Kind, Submitted, Unreachable
from tools.cluster.profile import SlurmProfile
from tools.common.checkout import CHECKOUT
from tools.common.errors import UserError
from tools.common.files import naming
from tools.common.parent_death import with_this_process

_STATES = {
    "TIMEOUT": TIME,
    "DEADLINE": TIME,
    "OUT_OF_MEMORY": MEMORY,
    "NODE_FAIL": NODE,
    "BOOT_FAIL": NODE,
    "PREEMPTED": NODE,
    "CANCELLED": CANCELLED,
    "REVOKED": CANCELLED,
    "COMPLETED": ENDED,
    "FAILED": ENDED,
}  # squeue's words for a job that has ended
_SAID = (
    (re.compile(r"DUE TO TIME LIMIT"), TIME),
    (re.compile(r"oom[-_ ]kill|[Ee]xceeded (job |step )?memory limit|Memory limit .*exceeded"), MEMORY),
    (re.compile(r"DUE TO NODE FAILURE|DUE TO PREEMPTION|DUE TO JOB REQUEUE"), NODE),
    (re.compile(r"\*\*\* (JOB|STEP) \S+ ON \S+ CANCELLED AT"), CANCELLED),
)  # what slurmstepd writes into a job's log
_BUSY = re.compile(r"Unable to contact|Socket timed out|Connection refused|temporarily|Slurm backup|Zero Bytes")
_TOO_LONG = "it never starts: `hours`, after a kill times `more`, is more than it may take"
_TOO_MUCH = "it never starts: it asks for more than it may have"
_NEVER = {
    "PartitionTimeLimit": _TOO_LONG,
    "QOSMaxWallDurationPerJobLimit": _TOO_LONG,
    "AssocMaxWallDurationPerJobLimit": _TOO_LONG,
    "PartitionNodeLimit": _TOO_MUCH,
    "BadConstraints": _TOO_MUCH,
    "QOSMaxCpuPerJobLimit": _TOO_MUCH,
    "QOSMaxGRESPerJob": _TOO_MUCH,
    "QOSMaxMemoryPerJob": _TOO_MUCH,
    "JobHeldUser": "it is held: scontrol release",
    "JobHeldAdmin": "it is held by the administrators",
}  # why a job is not started that would wait for ever
_NEEDS = ("--partition", "--account", "--cpus-per-task", "--mem", "--time", "--gres", "--array")
_GONE = re.compile(r"Invalid job id")
_PATIENCE = 60.0  # seconds that a command of Slurm may take
_KEPT = ("SLURM_CONF", "SLURM_CLUSTERS")  # what a job passes on to those that it sends
_TAIL = 1 << 16  # bytes of a log that are read


class Slurm:
    """The executor (tools/cluster/executor.py) for a cluster with Slurm 20.11 or newer."""

    def __init__(self, profile: SlurmProfile) -> None:
        self.profile = profile

    def submit(self, job: Job) -> str:
        options = self.options(job)
        try:
            said = _ask(["sbatch", *options], self.script(job), environment=_outside())
        except Unreachable:
            raise
        except UserError as refusal:
            asked = " ".join(
                option for option in options if option.startswith(_NEEDS) or option in self.profile.options
            )
            raise UserError(f"{refusal}; asked for each {job.kind} job: {asked}; see experiments/profiles/") from None
        return said.strip().partition(";")[0]

    def options(self, job: Job) -> list[str]:
        """The options of sbatch."""
        profile = self.profile
        partition = profile.partition if job.kind == "pilot" else profile.prepare_partition or profile.partition
        name = "%A_%a" if job.kind == "pilot" else "%j"
        options = ["--parsable", f"--job-name={job.name}", f"--chdir={os.getcwd()}", "--open-mode=append"]
        options += [f"--output={str(job.logs.absolute()).replace('%', '%%')}/{name}.{job.kind}.log", "--requeue"]
        options += [f"--partition={partition}"] if partition else []
        options += [f"--account={profile.account}"] if profile.account else []
        options += ["--nodes=1", "--ntasks=1", f"--cpus-per-task={job.cpus}", f"--mem={math.ceil(job.memory * 1024)}M"]
        options += [f"--time={max(1, math.ceil(job.hours * 60))}"]
        options += [f"--gres=gpu:{job.gpus}"] if job.gpus else []
        options += [f"--array=1-{job.count}"] if job.kind == "pilot" else []
        if job.after:
            condition = "afterok" if job.after_success else "afterany"
            options += [f"--dependency={condition}:{':'.join(job.after)}", "--kill-on-invalid-dep=yes"]
        return options + profile.options

    def script(self, job: Job) -> str:
        """The batch script."""
        container = f"{self.profile.container} " if self.profile.container else ""
        lines = [
            *self.profile.setup,
            f"export PYTHONPATH={shlex.quote(str(CHECKOUT))} PYTHONUNBUFFERED=1",
            f"exec {container}{shlex.join(job.command)}",
        ]
        return "\n".join(["#!/bin/sh", *lines, ""])

    def alive(self, names: tuple[str, ...]) -> list[Submitted]:
        said = _ask(["squeue", "--noheader", "--array", "--me", f"--name={','.join(names)}", "--format=%i|%j|%T|%r"])
        jobs = []
        for line in said.splitlines():
            number, name, state, reason = (line.split("|", 3) + [""] * 3)[:4]
            reason += f": {_NEVER[reason]}" if reason in _NEVER else ""
            word = f"{state} ({reason})" if state == "PENDING" and reason != "None" else state
            jobs.append(Submitted(number, name, state in ("RUNNING", "COMPLETING"), word))
        return jobs

    def ending(self, job: str, log: Path | None) -> str | None:
        """From squeue, which knows a job for some minutes after its end (MinJobAge); else from the job's log."""
        said = _ask(["squeue", "--noheader", "--array", "--states=all", f"--jobs={job}", "--format=%T"], unknown="")
        state = said.strip().partition("\n")[0]
        if state and state not in _STATES:
            return None
        why = _STATES.get(state, ENDED)
        return _said_in(log) or why if why == ENDED and log else why

    def cancel(self, jobs: list[str]) -> None:
        if jobs:
            _ask(["scancel", *jobs], unknown="")

    def own_job(self) -> str:
        array, task = os.environ.get("SLURM_ARRAY_JOB_ID"), os.environ.get("SLURM_ARRAY_TASK_ID")
        return f"{array}_{task}" if array and task else os.environ["SLURM_JOB_ID"]

    def seconds_left(self) -> float:
        # not by SLURM_JOB_ID: one task of an array has the array's number, by which squeue shows all tasks
        said = _ask(["squeue", "--noheader", f"--jobs={self.own_job()}", "--format=%L"]).strip()
        match = re.fullmatch(r"(?:(\d+)-)?(?:(\d+):)?(\d+):(\d+)", said)
        if not match:
            return 0.0 if said == "INVALID" else math.inf  # the time is over; else NOT_SET, UNLIMITED
        days, hours, minutes, seconds = (int(part or 0) for part in match.groups())
        return 60.0 * (60 * (24 * days + hours) + minutes) + seconds

    def log_file(self, logs: Path, kind: Kind, job: str) -> Path:
        return logs / f"{job}.{kind}.log"


def _said_in(log: Path) -> str | None:
    """How a job ended, from what Slurm wrote at the end of its log."""
    try:
        with naming(log), open(log, "rb") as file:
            file.seek(max(0, log.stat().st_size - _TAIL))
            text = file.read().decode("utf-8", "replace")
    except FileNotFoundError:
        return None
    return next((why for pattern, why in _SAID if pattern.search(text)), None)


def _outside() -> dict[str, str]:
    """The environment without what Slurm has told this job, if this is one: sbatch passes it on to the new job."""
    if "SLURM_JOB_ID" not in os.environ:
        return dict(os.environ)
    own = ("SLURM_", "SLURMD_", "CUDA_VISIBLE_DEVICES")
    return {name: value for name, value in os.environ.items() if name in _KEPT or not name.startswith(own)}


def _ask(
    command: list[str], script: str | None = None, unknown: str | None = None, environment: dict[str, str] | None = None
) -> str:
    """What a command of Slurm prints. unknown: the answer where Slurm does not know the job, which is an error else."""
    try:
        process = subprocess.run(
            command,
            input=script or "",
            capture_output=True,
            text=True,
            errors="replace",
            timeout=_PATIENCE,
            env=environment,
            preexec_fn=with_this_process(),
        )
    except FileNotFoundError:
        raise UserError(f"{command[0]}: no such command here; EXECUTOR=slurm works on a login node of Slurm") from None
    except subprocess.TimeoutExpired:
        raise Unreachable(f"{command[0]}: no answer in {_PATIENCE:g} s") from None
    if process.returncode == 0:
        return process.stdout
    said = " ".join(process.stderr.split())
    if unknown is not None and _GONE.search(said):
        return unknown
    if _BUSY.search(said):
        time.sleep(1)
        raise Unreachable(f"{command[0]}: {said}")
    raise UserError(f"{command[0]}: exit {process.returncode}: {said}")
