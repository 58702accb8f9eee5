"""The order of a sweep on a cluster: one file in the shared folder that tells every job what to do.

results/<experiment>/cluster/order.json    the order
results/<experiment>/cluster/submitter     held locked, and touched, by the process that submits
results/<experiment>/cluster/12_3.pilot.log     the logs of the jobs
"""

import contextlib
import os
import re
import sys
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, replace
from hashlib import sha256
from pathlib import Path
from typing import Any

from tools.cluster import fate
from tools.cluster.executor import KINDS, Executor, Inside, Job, Kind
from tools.cluster.kubernetes import Pod, manifest, text
from tools.cluster.lock_probe import HELP
from tools.cluster.profile import PROFILES, KubernetesProfile, Profile, SlurmProfile
from tools.cluster.slurm import Slurm
from tools.common.errors import UserError
from tools.common.files import is_locked, load_json, lock_if_free, read_json, write_atomic, write_json
from tools.planning.state import Plan, make_plan
from tools.protocol.experiment import Experiment, load
from tools.protocol.layout import results_folder
from tools.training.engine import Engine, find_engine
from tools.training.gpus import runs_per_gpu
from tools.training.kernels import KERNELS
from tools.training.machine import THREADS

SIGN_OF_LIFE = 2.0  # seconds between two touches of the submitter's file
_SILENT = 3 * SIGN_OF_LIFE
_PASSED_ON = ("CAFFE", "PER_GPU", "ENGINE_SILENCE", *THREADS, KERNELS)  # to every job


def cluster_folder(exp: Experiment, engine: Engine) -> Path:
    """Where the order and the logs of the jobs are."""
    return results_folder(exp, engine.name) / "cluster"


@dataclass(frozen=True)
class Order:
    """A sweep as it was ordered. failed: run -> st_mtime_ns of the failed.json that it had then, to be tried again."""

    exp: Experiment
    engine: Engine
    profile: Profile
    failed: dict[str, int]

    @property
    def folder(self) -> Path:
        return cluster_folder(self.exp, self.engine)

    @property
    def inside(self) -> Inside:
        """The scheduler, as a job sees it."""
        return Pod(self.profile.hours) if isinstance(self.profile, KubernetesProfile) else self.executor

    @property
    def executor(self) -> Executor:
        """The scheduler, as the submitting process sees it."""
        assert isinstance(self.profile, SlurmProfile), "the only one to which jobs are sent"
        return Slurm(self.profile)

    @property
    def jobs(self) -> int:
        """Trainings at a time in a pilot."""
        return jobs_of(self.profile)

    def name(self, kind: Kind) -> str:
        """The name of the jobs of a kind, `tiny-pilot-0a1b2c3d4e`: the same for all who sweep into this results folder.

        squeue shows its first letters; Kubernetes takes small letters, digits and `-` alone.
        """
        words = re.sub(r"[^a-z0-9]+", "-", self.exp.file.stem.lower())[:24].strip("-")
        number = sha256(os.fsencode(self.folder.absolute())).hexdigest()[:10]
        return "-".join(filter(None, (words, kind, number)))

    @property
    def names(self) -> tuple[str, ...]:
        return tuple(self.name(kind) for kind in KINDS)

    def job(
        self, kind: Kind, count: int = 1, level: int = 0, more: dict[str, float] | None = None, **after: Any
    ) -> Job:
        """A submission. more: `hours`, `memory` -> how many times the profile's. level: see pilot.py."""
        profile, factor = self.profile, more or {}
        if kind == "pilot":
            memory, hours = profile.memory * factor.get("memory", 1), profile.hours * factor.get("hours", 1)
            needs: dict[str, Any] = {"cpus": profile.cpus, "gpus": profile.gpus, "memory": memory, "hours": hours}
        else:
            needs = {"cpus": profile.prepare_cpus, "gpus": 0}
            needs |= {"memory": profile.prepare_memory, "hours": profile.prepare_hours}
        return Job(kind, self.name(kind), count, self.command(kind, level), self.folder, **needs, **after)

    def command(self, kind: str, level: int = 0) -> tuple[str, ...]:
        """What a job executes, in the project's root."""
        python = self.profile.python or sys.executable
        return (python, "-P", "-m", "tools.cluster.job", kind, str(self.folder / "order.json"), str(level))

    def is_over(self, run_failed: Path, key: str) -> bool:
        """Whether a run has failed since the order: its failed.json is not the one that was there before."""
        try:
            return run_failed.stat().st_mtime_ns != self.failed.get(key)
        except FileNotFoundError:
            return False


def jobs_of(profile: Profile) -> int:
    """Trainings at a time in a pilot: as the profile says, or PER_GPU on each GPU, or one a core."""
    return profile.jobs or (profile.gpus * runs_per_gpu() if profile.gpus else profile.cpus)


def write_manifest(exp: Experiment, engine: Engine, profile: KubernetesProfile) -> Path:
    """Places the order, and writes the Job for Kubernetes beside it, whose path is returned."""
    order = place_order(exp, engine, profile, make_plan(exp, engine))
    job = replace(order.job("pilot", profile.pilots), command=order.command("all", profile.retries))
    file = order.folder / "job.yaml"
    write_atomic(file, text(manifest(profile, job, os.getuid(), os.getgid())))
    return file


def place_order(exp: Experiment, engine: Engine, profile: Profile, plan: Plan) -> Order:
    """Writes the order, which replaces an earlier one."""
    failed = {run.key: run.failed.stat().st_mtime_ns for run in plan.remaining if run.failed.exists()}
    for run in plan.remaining:
        if run.key in failed:
            fate.forgive(run)
    order = Order(exp, engine, profile, failed)
    environment = {name: os.environ[name] for name in _PASSED_ON if name in os.environ}
    if isinstance(profile, KubernetesProfile):  # its image has no path of this machine, and finds `caffe`
        environment.pop("CAFFE", "")
        environment |= {} if engine.name == "caffe" else {"CAFFE": engine.name}
    record = {"file": str(exp.file), "set": exp.overrides, "config": exp.model_dump(mode="json")}
    record |= {"engine": engine.name, "version": engine.version, "environment": environment}
    write_json(order.folder / "order.json", record | {"profile": profile.model_dump(mode="json"), "failed": failed})
    return order


def read_order(file: Path) -> Order:
    """The order, with its environment set. Raises UserError if the experiment or the engine is another one by now."""
    record = load_json(file)
    os.environ.update(record["environment"])
    exp, engine = load(Path(record["file"]), record["set"]), find_engine()
    config = exp.model_dump(mode="json")
    changed = sorted(
        key for key in config.keys() | record["config"].keys() if config.get(key) != record["config"].get(key)
    )
    if changed:
        raise UserError(f"{exp.file}: {', '.join(changed)}: changed since the sweep was submitted; submit it again")
    if (engine.name, engine.version) != (record["engine"], record["version"]):
        raise UserError(
            f"{engine.path}: {engine.version!r} on {os.uname().nodename}, but {record['version']!r} where the sweep "
            "was submitted; set CAFFE there to the engine that the jobs use"
        )
    profile = PROFILES[record["profile"]["executor"]](**record["profile"])
    return Order(exp, engine, profile, record["failed"])


def queue(exp: Experiment, engine: Engine) -> Iterator[str]:
    """What the scheduler has of the jobs of this sweep, in a line, if any were sent from here."""
    file = cluster_folder(exp, engine) / "order.json"
    record = read_json(file) if file.exists() else None
    if not isinstance(record, dict) or record["profile"]["executor"] == "kubernetes":
        return
    order = Order(exp, engine, PROFILES[record["profile"]["executor"]](**record["profile"]), {})
    try:
        states = Counter(job.state for job in order.executor.alive(order.names))
    except UserError as fault:
        yield f"jobs: {fault}"
    else:
        jobs = ", ".join(f"{count} {state}" for state, count in states.items())
        if jobs:
            yield f"jobs: {jobs}; their logs: {order.folder}/"


@contextlib.contextmanager
def sole_submitter(folder: Path) -> Iterator[Path]:
    """Holds the place of the one process that submits into `folder`. Raises UserError if there is another."""
    folder.mkdir(parents=True, exist_ok=True)
    file = folder / "submitter"
    with lock_if_free(file) as free:
        if not free:
            raise UserError(f"{file}: another process submits this sweep and is watching it; end that one first")
        yield file


def check_locks_across_nodes(folder: Path, silent: float = _SILENT) -> None:
    """Raises UserError if the submitter lives, and yet its lock is free here: then locks hold on one node only.

    The submitter touches its file; a lock that is free while the file is touched holds nothing.
    """
    file = folder / "submitter"
    if not file.exists():
        return
    before = file.stat().st_mtime_ns
    end = time.monotonic() + silent
    while not is_locked(file) and time.monotonic() < end:
        if file.stat().st_mtime_ns != before and not is_locked(file):
            raise UserError(f"{folder}/: a lock of the submitting node does not hold on {os.uname().nodename}, {HELP}")
        time.sleep(0.2)
