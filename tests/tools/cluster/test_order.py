"""The order of a sweep: what the jobs read, and when they refuse it; the place of the one that submits."""

import os
import re
import threading
from pathlib import Path

import pytest

from tools.cluster.order import (
    Order,
    check_locks_across_nodes,
    jobs_of,
    place_order,
    queue,
    read_order,
    sole_submitter,
    write_manifest,
)
from tools.cluster.profile import KubernetesProfile, SlurmProfile
from tools.common.errors import UserError
from tools.common.files import load_json, write_json
from tools.planning.state import Plan, make_plan
from tools.protocol.experiment import Experiment, load
from tools.protocol.runs import runs_of
from tools.training.engine import Engine

NEEDS = {"pilots": 3, "cpus": 2, "memory": 4.0, "hours": 1.0}
SLURM = SlurmProfile(executor="slurm", **NEEDS)
FILE = Path("results/quick/cluster/order.json")


@pytest.fixture
def order(trained: Experiment, engine: Engine) -> Order:
    return place_order(trained, engine, SLURM, make_plan(trained, engine))


def test_a_job_reads_what_was_ordered(order: Order) -> None:
    read = read_order(FILE)
    assert (read.exp, read.engine, read.profile, read.failed) == (order.exp, order.engine, SLURM, {})
    assert read.jobs == jobs_of(SLURM) == 2
    job = read.job("pilot", 3, level=1, more={"memory": 4.0}, after=("7",))
    assert job.command[1:] == ("-P", "-m", "tools.cluster.job", "pilot", str(FILE), "1")
    assert (job.name, job.count, job.memory, job.hours, job.after) == (order.name("pilot"), 3, 16.0, 1.0, ("7",))


def test_the_name_of_a_job_says_which_sweep_it_is(order: Order, trained: Experiment, engine: Engine) -> None:
    assert re.fullmatch(r"quick-pilot-[0-9a-f]{10}", order.name("pilot"))
    other = place_order(load(trained.file, "max_iter=20 test_interval=20"), engine, SLURM, Plan({}, {}))
    assert other.name("pilot").startswith("quick-pilot-") and other.name("pilot") != order.name("pilot")


def test_a_job_refuses_an_experiment_that_has_changed(order: Order) -> None:
    file = Path("experiments/quick.yaml")
    file.write_text(file.read_text().replace("test_batch_size: 20", "test_batch_size: 10"))
    with pytest.raises(UserError, match="test_batch_size: changed since the sweep was submitted; submit it again"):
        read_order(FILE)


def test_a_job_refuses_an_engine_of_another_version(order: Order, monkeypatch: pytest.MonkeyPatch) -> None:
    other = Path("caffe").absolute()
    other.write_text("#!/bin/sh\necho caffe version 0.9\n")
    other.chmod(0o755)
    record = FILE.read_text().replace(str(order.engine.path), str(other))
    FILE.write_text(record)
    with pytest.raises(UserError, match=r"'caffe version 0\.9' on .*, but 'caffe version 1\.0\.0' where the sweep"):
        read_order(FILE)


def test_what_had_failed_before_the_order_is_tried_again(trained: Experiment, engine: Engine) -> None:
    run = runs_of(trained, "caffe")[0]
    run.manifest.unlink()
    write_json(run.failed, {"run": run.key, "error": "", "attempts": 1})
    order = place_order(trained, engine, SLURM, make_plan(trained, engine))
    assert not order.is_over(run.failed, run.key)
    write_json(run.failed, {"run": run.key, "error": "again", "attempts": 2})
    os.utime(run.failed, ns=(1, 1))
    assert order.is_over(run.failed, run.key)
    run.failed.unlink()
    assert not order.is_over(run.failed, run.key)


def test_only_one_process_submits_a_sweep(root: Path) -> None:
    with (
        sole_submitter(Path("cluster")),
        pytest.raises(UserError, match="cluster/submitter: another process submits this"),
        sole_submitter(Path("cluster")),
    ):
        pass
    with sole_submitter(Path("cluster")):
        pass


def test_a_lock_of_the_submitter_that_does_not_hold_here_is_told(root: Path) -> None:
    """The file is touched, and yet it is not locked: as on a disk whose locks hold on one node only."""
    place = Path("cluster")
    with sole_submitter(place) as sign:
        check_locks_across_nodes(place)
    check_locks_across_nodes(place, silent=0.3)  # nobody submits: the jobs go on alone
    timer = threading.Timer(0.5, lambda: os.utime(sign))
    timer.start()
    with pytest.raises(UserError, match="a lock of the submitting node does not hold on"):
        check_locks_across_nodes(place, silent=20)


def test_the_queue_is_not_asked_where_nothing_was_sent(trained: Experiment, engine: Engine) -> None:
    assert list(queue(trained, engine)) == []


def test_a_queue_that_cannot_be_asked_is_told(order: Order, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "/nowhere")
    assert list(queue(order.exp, order.engine)) == [
        "jobs: squeue: no such command here; EXECUTOR=slurm works on a login node of Slurm"
    ]


def test_the_manifest_for_kubernetes_lies_beside_the_order(trained: Experiment, engine: Engine) -> None:
    profile = KubernetesProfile(executor="kubernetes", image="caffe", claim="disk", **NEEDS)
    file = write_manifest(load(trained.file, "sizes=[4]"), engine, profile)
    assert file == Path("results/quick/cluster/job.yaml")
    assert "CAFFE" not in load_json(FILE)["environment"], "a path of this machine"
    assert '"image": "caffe"' in file.read_text() and '"all"' in file.read_text()
    assert isinstance(read_order(FILE).profile, KubernetesProfile)
