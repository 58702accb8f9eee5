"""What a job does on its node, started as a scheduler starts it: a pod of Kubernetes needs none."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tools.cluster.job import main, make_tables, work
from tools.cluster.order import place_order, read_order
from tools.cluster.profile import KubernetesProfile
from tools.common.errors import UserError
from tools.planning.state import make_plan
from tools.protocol.experiment import Experiment
from tools.protocol.runs import find_run
from tools.training.engine import Engine

ORDER = "results/quick/cluster/order.json"
POD = KubernetesProfile(
    executor="kubernetes", image="caffe", claim="disk", pilots=1, cpus=1, memory=1.0, hours=1.0, retries=0
)


def test_a_pilot_trains_what_is_missing(
    trained: Experiment, engine: Engine, monkeypatch: pytest.MonkeyPatch, checkout: Path
) -> None:
    run = find_run(trained, "caffe", "A2B/n0004/S1T/seed0")
    before = run.manifest.read_text()
    run.manifest.unlink()
    place_order(trained, engine, POD, make_plan(trained, engine))
    command = [sys.executable, "-P", "-m", "tools.cluster.job", "pilot", ORDER, "0"]
    environment = os.environ | {"PYTHONPATH": str(checkout), "HOSTNAME": "pod-0"}
    process = subprocess.run(command, env=environment, capture_output=True, text=True)
    assert process.returncode == 0, process.stderr
    assert f"[5/5] {run.key}: accuracy" in process.stdout
    assert (run.folder / "job.log").read_text().startswith("# job pod-0 on ")
    assert '"net_iter_40.caffemodel"' in before and '"net_iter_40.caffemodel"' in run.manifest.read_text()


def test_a_pilot_without_data_is_refused(trained: Experiment, engine: Engine) -> None:
    place_order(trained, engine, POD, make_plan(trained, engine))
    next(Path("data").rglob("mean.json")).unlink()
    with pytest.raises(UserError, match="quick: mean: not done"):
        work(read_order(Path(ORDER)), 0, {})


def test_tables_are_for_later_while_runs_are_missing(
    trained: Experiment, engine: Engine, capsys: pytest.CaptureFixture
) -> None:
    find_run(trained, "caffe", "A2B/n0004/S1T/seed0").manifest.unlink()
    place_order(trained, engine, POD, make_plan(trained, engine))
    assert make_tables(read_order(Path(ORDER)), {}) == 0
    assert capsys.readouterr().out == "1 runs are not done: tables and figures are for later\n"


def test_data_that_are_there_are_not_made_again(trained: Experiment, engine: Engine) -> None:
    place_order(trained, engine, POD, make_plan(trained, engine))
    before = {path: path.stat().st_mtime_ns for path in Path("data").rglob("*")}
    assert main("data", ORDER) == 0
    assert {path: path.stat().st_mtime_ns for path in Path("data").rglob("*")} == before
