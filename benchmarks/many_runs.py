"""How long the verbs take with many finished runs: 2,000 or 10,000, made, not trained.

    python -m benchmarks.many_runs 2000 /scratch/many

makes the data of as many seeds as it takes, trains one run with the engine, and gives its files to all others, each
with the manifest that its inputs ask for. Then it times `status`, `summarize`, the rest of the sweep (claims, figures,
page), and a sweep with nothing to do: seconds of the clock, and of the processor.
"""

import os
import resource
import shutil
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
from PIL import Image

from tools.common.checkout import CHECKOUT
from tools.common.files import load_json, write_record
from tools.protocol.experiment import Experiment, load
from tools.protocol.layout import Run
from tools.protocol.runs import runs_of
from tools.training.engine import Engine, find_engine
from tools.training.inputs import run_inputs

CLASSES, SIZES, SIDE = 10, (30, 25, 20, 10, 5, 2), 28
PER_SEED = 2 * len(SIZES) * 9  # both directions, nine conditions
KEYS = f"""\
dataset: folder
path: images
image_size: {SIDE}
gray: true
full_size: {SIZES[0]}
sizes: {list(SIZES)}
model: mini
solver: mini
train_batch_size: 10
test_batch_size: 50
max_iter: 200
test_interval: 100
base_lr: 0.003
"""


def write_project(count: int) -> Experiment:
    random = np.random.default_rng(0)
    for name in range(CLASSES):
        blocks = random.integers(0, 2, (4, 4), np.uint8) * 127  # what the net learns
        for part, images in (("train", SIZES[0]), ("val", 10)):
            folder = Path("images", part, f"c{name}")
            folder.mkdir(parents=True, exist_ok=True)
            for number in range(images):
                noise = random.integers(0, 128, (SIDE, SIDE), np.uint8)
                pixels = noise + np.kron(blocks, np.ones((SIDE // 4, SIDE // 4), np.uint8))
                Image.fromarray(pixels).save(folder / f"{number}.png")
    Path("experiments").mkdir(exist_ok=True)
    seeds = list(range(-(-count // PER_SEED)))
    Path("experiments/many.yaml").write_text(f"{KEYS}seeds: {seeds}\n")
    return load(Path("experiments/many.yaml"))


def call(*words: str) -> str:
    began, before = time.monotonic(), resource.getrusage(resource.RUSAGE_CHILDREN)
    environment = os.environ | {"PYTHONPATH": str(CHECKOUT), "GPUS": "", "OMP_NUM_THREADS": "1"}
    subprocess.run([sys.executable, "-m", "tools", *words], env=environment, check=True, stdout=subprocess.DEVNULL)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    used = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return f"{words[0]}: {time.monotonic() - began:.1f} s, {used:.1f} s of processor time"


def give(exp: Experiment, engine: Engine, model: Run, run: Run) -> None:
    """Writes a finished run with the files of `model`."""
    record = load_json(model.manifest)
    shutil.copytree(model.folder, run.folder, ignore=shutil.ignore_patterns("*.caffemodel", ".lock", "manifest.json"))
    os.link(model.folder / record["model"]["file"], run.folder / record["model"]["file"])
    record |= {"run": run.key, "used": None, "inputs": run_inputs(exp, run, engine)}
    write_record(run.manifest, record)


def main() -> None:
    count, folder = int(sys.argv[1]), Path(sys.argv[2])
    folder.mkdir(parents=True, exist_ok=True)
    os.chdir(folder)
    exp, engine = write_project(count), find_engine()
    for verb in ("fetch", "split", "pack", "mean"):
        print(call(verb, "experiments/many.yaml"), flush=True)
    runs = runs_of(exp, engine.name)
    first = runs[0]
    call("run", "experiments/many.yaml", first.key)
    for run in runs[1:]:
        if not run.manifest.exists():
            shutil.rmtree(run.folder, ignore_errors=True)
            give(exp, engine, first, run)
    files = [path for path in first.folder.iterdir()]
    size = sum(path.stat().st_size for path in files if path.suffix != ".caffemodel")
    print(f"{len(runs)} runs; {len(files) + 1} inodes and {size:,} bytes a run, beside the caffemodel", flush=True)
    for verb in ("status", "summarize", "sweep"):
        print(call(verb, "experiments/many.yaml"), flush=True)
    print("nothing to do:", call("sweep", "experiments/many.yaml"), flush=True)


if __name__ == "__main__":
    main()
