"""A sweep starts torchcaffe warm, with the same results, and takes the warm parent with it, also when it is killed."""

import json
import os
import shutil
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path

import psutil
import pytest

from tests.helpers import trained_project
from tests.helpers.warm_calls import is_alive, wait_for

pytestmark = pytest.mark.slow

TOOLS = [sys.executable, "-m", "tools"]
EXPERIMENT = ["experiments/quick.yaml", "--set", "sizes=[4]"]


# torchcaffe, and beside it a list of the memory that each call took, in KiB.
ENGINE = """\
#!{python}
import resource, subprocess, sys
from tools.common.parent_death import with_this_process
command = [sys.executable, "-P", "-m", "torchcaffe", *sys.argv[1:]]
status = subprocess.run(command, preexec_fn=with_this_process()).returncode
with open("{list}", "a") as file:
    print(resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss, file=file)
sys.exit(status)
"""
COLD = 80 * 1024  # KiB: PyTorch takes more, a call that hands its work to the warm parent less


@pytest.fixture
def environment(tmp_path: Path, checkout: Path) -> dict[str, str]:
    engine = tmp_path / "bin" / "torchcaffe"
    engine.parent.mkdir()
    engine.write_text(ENGINE.format(python=sys.executable, list=tmp_path / "calls"))
    engine.chmod(0o755)
    kept = {name: value for name, value in os.environ.items() if name != "TORCHCAFFE_WARM"}
    return kept | {"CAFFE": str(engine), "PYTHONPATH": str(checkout), "GPUS": ""}


def warm_parents(sweep: int) -> list[psutil.Process]:
    """The warm parents of a sweep."""
    found = [process for process in psutil.process_iter(["name", "environ"]) if process.info["environ"]]
    own = [process for process in found if process.info["environ"].get("TORCHCAFFE_WARM") == str(sweep)]
    return [process for process in own if process.info["name"] == "torchcaffe-warm"]


def wait_for_a_worker(sweep: "subprocess.Popen[bytes]") -> list[int]:
    """The process ids of the sweep's warm parent, and of its workers, once it has one."""
    parents: list[psutil.Process] = []
    while sweep.poll() is None:
        time.sleep(0.01)
        # A look at all processes takes long, and a worker may live for 0.1 s.
        parents = [parent for parent in parents if parent.is_running()] or warm_parents(sweep.pid)
        for parent in parents:
            with suppress(psutil.NoSuchProcess):
                if workers := parent.children():
                    return [process.pid for process in (parent, *workers)]
    raise AssertionError("the sweep ended without a warm start")


def memory_of_calls() -> list[int]:
    """KiB of each call that has ended by itself; that which measures an iteration, and leaves the parent, has not."""
    return [int(line) for line in Path("calls").read_text().splitlines()]


def net(run: str) -> str:
    manifest = json.loads(Path("models/quick+engine=torchcaffe", run, "manifest.json").read_text())
    return str(manifest["model"]["sha256"])


def test_a_sweep_starts_warm_trains_the_same_nets_and_leaves_no_process_behind(
    environment: dict[str, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    trained_project.write_project(tmp_path / "images")
    sweep = [*TOOLS, "sweep", *EXPERIMENT, "--jobs", "2"]
    with open("out", "w") as out:
        process = subprocess.Popen(sweep, env=environment, stdout=out, stderr=subprocess.STDOUT)
        wait_for_a_worker(process)
        assert process.wait() == 0, Path("out").read_text()
    wait_for(lambda: not warm_parents(process.pid))
    assert max(memory_of_calls()) < COLD
    Path("calls").unlink()

    runs = ("B2A/n0012/base/seed0", "A2B/n0004/S1T/seed0")
    warm = [net(run) for run in runs]
    shutil.rmtree("models")
    threads = str(max(1, len(os.sched_getaffinity(0)) // 2))
    for run in runs:  # no sweep: each start is cold
        command = [*TOOLS, "run", *EXPERIMENT[:1], run, *EXPERIMENT[1:]]
        subprocess.run(command, env={"OMP_NUM_THREADS": threads} | environment, check=True)
    assert [net(run) for run in runs] == warm
    assert max(memory_of_calls()) > COLD

    shutil.rmtree("models")
    process = subprocess.Popen(sweep, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    family = wait_for_a_worker(process)
    process.kill()
    process.wait()
    wait_for(lambda: not any(map(is_alive, family)))
