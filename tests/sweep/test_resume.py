"""`resume: true` with torchcaffe: a run that is killed again and again ends as one that nobody disturbed."""

import csv
import os
import random
import shutil
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.helpers import trained_project
from tests.helpers.shell_scripts import stand_in
from tools.common.files import load_json
from tools.protocol.experiment import load
from tools.protocol.runs import find_run

pytestmark = pytest.mark.slow

KEY = "A2B/n0012/S1T/seed0"
ITERATIONS = 1500  # more than torchcaffe gets done between the sight of a line and a kill 0.05 s later
LENGTH = f"max_iter={ITERATIONS} test_interval=50 display=5 snapshot=20 resume=true"
WITHOUT = {"Seconds"}  # a column that depends on the clock


@pytest.fixture
def project(root, tmp_path: Path, checkout: Path) -> dict[str, str]:
    """The environment of torchcaffe in a prepared project whose net draws crops, mirrors and dropout at random."""
    exp = trained_project.write_project(tmp_path / "images")
    template = Path("prototxt/three/train_val.prototxt")
    text = template.read_text().replace('mean_file: "x"', 'mean_file: "x" crop_size: 10')
    text = text.replace("crop_size: 10", "crop_size: 10 mirror: true", 1)  # of the TRAIN net alone
    text = text.replace(
        'layer { name: "fc3"', 'layer { name: "drop" type: "Dropout" bottom: "fc2" top: "fc2" }\nlayer { name: "fc3"'
    )
    template.write_text(text)
    trained_project.prepare(exp)
    engine = stand_in(tmp_path / "bin", "torchcaffe", f'exec {sys.executable} -m torchcaffe "$@"')
    return root.environment | {"CAFFE": str(engine), "OMP_NUM_THREADS": "1", "PYTHONPATH": str(checkout)}


def command(key: str) -> list[str]:
    return [sys.executable, "-m", "tools", "run", "experiments/quick.yaml", key, "--set", LENGTH]


def table(file: Path) -> list[dict[str, str]]:
    with open(file, newline="") as lines:
        return [{name: cell for name, cell in row.items() if name not in WITHOUT} for row in csv.DictReader(lines)]


def left(folder: Path) -> dict[object, object]:
    """What a run left, but for the clock and its attempts."""
    manifest = load_json(folder / "manifest.json")
    result = {key: value for key, value in manifest["result"].items() if key not in ("seconds", "images_per_s")}
    tables = {(name, row["NumIters"]): row for name in ("train.csv", "test.csv") for row in table(folder / name)}
    return {"model": manifest["model"], "result": result, "predictions": manifest["predictions"], **tables}


def killed_at(environment: dict[str, str], log: Path, iteration: int, after: float) -> bool:
    """Starts the run and kills it `after` seconds after the log comes to `iteration`. False if it had ended by then."""
    process = subprocess.Popen(
        command(KEY), env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, process_group=0
    )
    give_up = time.monotonic() + 120
    while process.poll() is None:
        assert time.monotonic() < give_up
        text = log.read_text(errors="replace").rpartition("# ")[2] if log.exists() else ""
        if any(f"Iteration {n} " in text for n in range(iteration, ITERATIONS + 1, 5)):
            time.sleep(after)
            os.killpg(process.pid, 9)
            process.wait()
            return True
        time.sleep(0.002)
    return False


def test_a_run_killed_at_random_ends_with_the_tables_and_the_net_of_an_undisturbed_one(project) -> None:
    chance = random.Random(int(os.environ.get("KILLS_SEED", "0")))
    for key in ("B2A/n0012/base/seed0", KEY):
        said = subprocess.run(command(key), env=project, capture_output=True, text=True)
        assert said.returncode == 0, said.stdout + said.stderr
    exp = load(Path("experiments/quick.yaml"), LENGTH)
    run = find_run(exp, "torchcaffe", KEY)
    undisturbed = left(run.folder)
    assert load_json(run.manifest)["resumed_at"] == []
    shutil.rmtree(run.folder)
    kills = 0
    for share in (0.3, 0.7):
        iteration = 5 * int(ITERATIONS / 5 * (share + chance.uniform(-0.15, 0.15)))
        kills += killed_at(project, run.folder / "caffe.log", iteration, chance.uniform(0, 0.05))
    assert kills
    said = subprocess.run(command(KEY), env=project, capture_output=True, text=True)
    assert said.returncode == 0, said.stdout + said.stderr
    manifest = load_json(run.manifest)
    found = left(run.folder)
    assert {key: (found.get(key), value) for key, value in undisturbed.items() if found.get(key) != value} == {}
    assert found.keys() == undisturbed.keys()
    assert manifest["attempts"] == kills + 1
    assert manifest["resumed_at"] and all(n % 20 == 0 for n in manifest["resumed_at"])
    assert not [path.name for path in run.folder.iterdir() if "solverstate" in path.name or "partial" in path.name]
