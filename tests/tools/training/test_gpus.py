"""Which GPUs the runs use, and that no more runs share a GPU than they may. nvidia-smi is a stand-in that names two."""

import os
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.helpers.shell_scripts import before_path, stand_in
from tools.common.errors import UserError
from tools.training.engine import Engine
from tools.training.gpus import SLOTS, gpu_slot, runs_per_gpu, selected_gpus

pytestmark = pytest.mark.usefixtures("root")


@pytest.fixture(autouse=True)
def two_gpus(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    stand_in(tmp_path / "bin", "nvidia-smi", "printf '0\\n1\\n'")
    monkeypatch.setenv("PATH", before_path(tmp_path / "bin"))
    for name in ("GPUS", "PER_GPU", "CUDA_VISIBLE_DEVICES", "SLURM_JOB_ID"):
        monkeypatch.delenv(name, raising=False)
    selected_gpus.cache_clear()
    yield
    selected_gpus.cache_clear()


@pytest.fixture
def engine(tmp_path: Path) -> Engine:
    """An engine that can use GPUs: its device_query succeeds."""
    return Engine(stand_in(tmp_path, "caffe", '[ "$1 $2" = "device_query --gpu=all" ]'))


def test_the_machines_gpus_are_used_if_the_engine_can_use_them(engine: Engine, caffe: Path, tmp_path: Path) -> None:
    assert selected_gpus(engine) == ("0", "1")
    assert selected_gpus(Engine(caffe)) == (), "BVLC Caffe built for CPUs aborts at device_query"
    stand_in(tmp_path / "bin", "nvidia-smi", "echo 'no devices were found' >&2; exit 6")
    selected_gpus.cache_clear()
    assert selected_gpus(engine) == ()


@pytest.mark.parametrize(
    ("settings", "gpus"),
    [
        ({"GPUS": "1, 3"}, ("1", "3")),
        ({"GPUS": ""}, ()),
        ({"CUDA_VISIBLE_DEVICES": "GPU-1a,GPU-2b"}, ("GPU-1a", "GPU-2b")),
        ({"CUDA_VISIBLE_DEVICES": ""}, ()),
        ({"GPUS": "0", "CUDA_VISIBLE_DEVICES": "4"}, ("0",)),
    ],
)
def test_a_setting_names_them(
    engine: Engine, monkeypatch: pytest.MonkeyPatch, settings: dict[str, str], gpus: tuple[str, ...]
) -> None:
    for name, value in settings.items():
        monkeypatch.setenv(name, value)
    assert selected_gpus(engine) == gpus


def test_per_gpu_is_a_count_of_at_least_one(monkeypatch: pytest.MonkeyPatch) -> None:
    assert runs_per_gpu() == 1
    monkeypatch.setenv("PER_GPU", "2")
    assert runs_per_gpu() == 2
    for wrong in ("0", "-1", "two"):
        monkeypatch.setenv("PER_GPU", wrong)
        with pytest.raises(UserError, match=f"PER_GPU={wrong}: not a number of runs; PER_GPU=2 lets two share a GPU"):
            runs_per_gpu()


def test_each_run_has_a_slot_of_its_own_and_gpus_fill_up_in_turn(
    engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PER_GPU", "2")
    with gpu_slot(engine) as first, gpu_slot(engine) as second, gpu_slot(engine) as third, gpu_slot(engine) as fourth:
        assert [first, second, third, fourth] == ["0", "1", "0", "1"]
    with gpu_slot(engine) as again:
        assert again == "0"


def test_on_the_cpu_and_where_slurm_has_chosen_nothing_is_locked(
    engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GPUS", "")
    with gpu_slot(engine) as cpu:
        assert cpu is None
    selected_gpus.cache_clear()
    monkeypatch.delenv("GPUS")
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "3")
    monkeypatch.setenv("SLURM_JOB_ID", "17")
    with gpu_slot(engine) as first, gpu_slot(engine) as second:
        assert first == second == "3"
    assert not SLOTS.exists()


def test_a_run_waits_for_a_slot_until_the_one_that_holds_it_is_killed(
    engine: Engine, monkeypatch: pytest.MonkeyPatch, checkout: Path
) -> None:
    monkeypatch.setenv("GPUS", "7")
    code = (
        "import time; from pathlib import Path; from tools.training.engine import Engine; "
        "from tools.training.gpus import gpu_slot\n"
        f"with gpu_slot(Engine(Path({str(engine.path)!r}))): print('held', flush=True); time.sleep(600)"
    )
    environment = {**os.environ, "PYTHONPATH": str(checkout)}
    holder = subprocess.Popen([sys.executable, "-c", code], env=environment, stdout=subprocess.PIPE, text=True)
    assert holder.stdout is not None and holder.stdout.readline() == "held\n"
    killer = subprocess.Popen(["sh", "-c", f"sleep 0.5; kill -9 {holder.pid}"])
    began = time.monotonic()
    with gpu_slot(engine) as gpu:
        assert gpu == "7"
        assert time.monotonic() - began > 0.4
    killer.wait()
    holder.wait()
