"""What a job does on its node, started as a scheduler starts it: a pod of Kubernetes needs none."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tools.cluster import job
from tools.cluster.job import main, make_tables, work
from tools.cluster.kubernetes import LEFT, Pod
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


@pytest.mark.parametrize(("left", "status"), [([100, 100, 1], LEFT), ([100, 1], 1), ([100], 0)])
def test_a_pod_whose_time_is_nearly_up_asks_for_another(
    trained: Experiment,
    engine: Engine,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture,
    left: list[float],
    status: int,
) -> None:
    """There is time for the first of two runs, for none of them, and for both; nobody but the pod says so."""
    runs = [find_run(trained, "caffe", key) for key in ("A2B/n0004/base/seed0", "A2B/n0004/S1T/seed0")]
    kept = {run: run.manifest.read_bytes() for run in runs}
    for run in runs:
        run.manifest.unlink()
    place_order(trained, engine, POD, make_plan(trained, engine))
    order = read_order(Path(ORDER))
    monkeypatch.setattr(os, "environ", dict(os.environ))
    monkeypatch.setattr(job, "_estimates", lambda *_: lambda run: 50.0)
    monkeypatch.setattr(Pod, "seconds_left", lambda _: left.pop(0) if len(left) > 1 else left[0])
    finish = "import sys, pathlib; pathlib.Path(sys.argv[1]).write_bytes(bytes.fromhex(sys.argv[2]))"
    words = lambda run: [sys.executable, "-c", finish, str(run.manifest), kept[run].hex()]  # noqa: E731
    monkeypatch.setattr(job, "words_of_run", lambda _: words)
    assert work(order, 0, {}, is_pod=True) == status
    assert ("another one is due" in capsys.readouterr().out) == bool(status)


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


def test_a_pilot_that_has_asked_for_a_gpu_and_finds_none_ends_and_says_what_to_do(
    trained: Experiment, engine: Engine
) -> None:
    """It would hold the GPU, and train on the cores."""
    find_run(trained, "caffe", "A2B/n0004/S1T/seed0").manifest.unlink()
    asks = POD.model_copy(update={"gpus": 1})
    place_order(trained, engine, asks, make_plan(trained, engine))
    with pytest.raises(UserError, match=r"finds no GPU on .*, and the profile asks for 1; set `gpus: 0` to train on"):
        work(read_order(Path(ORDER)), 0, {})
