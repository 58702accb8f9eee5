"""Finished runs of the demo, written as tools/run.py writes them, with numbers that a test gives. None is trained."""

from pathlib import Path

import numpy as np

from caffeformat import datum, lmdb_file
from tools.common.checkout import CHECKOUT
from tools.common.files import read_json, write_atomic, write_json
from tools.protocol.experiment import Experiment, load
from tools.protocol.layout import Run, split_of
from tools.results.columns import PREDICTIONS
from tools.results.tables import npz_bytes

NET = CHECKOUT / "prototxt" / "mini" / "train_val.prototxt"


def demo(overrides: str = "") -> Experiment:
    """Writes experiments/demo.yaml: Fashion-MNIST with 6000, 60 and 10 images a class."""
    keys = ("dataset: fashion-mnist", "image_size: 28", "gray: true", "full_size: 6000", "sizes: [6000, 60, 10]")
    write_atomic(Path("experiments/demo.yaml"), "\n".join([*keys, "model: mini", "solver: mini", ""]))
    return load(Path("experiments/demo.yaml"), overrides)


def run_of(key: str, experiment: str = "demo") -> Run:
    """A2B/n0060/S3T/seed0 as a Run."""
    direction, size, condition, seed = key.split("/")
    return Run(experiment, direction, int(size[1:]), condition, int(seed[4:]))


def finish(key: str, accuracy: float, status: str = "ok", experiment: str = "demo", **result: float | None) -> Run:
    """Writes a run's manifest, net and CSVs: tests at 0, 100, 200 and 300, displays every 20 iterations."""
    run, best = run_of(key, experiment), min(1.0, accuracy + 0.01)
    figures = {
        "accuracy": accuracy,
        "best_accuracy": best,
        "best_iter": 200,
        "loss": 0.5,
        "iters": 300,
        "seconds": 12.5,
        "images_per_s": 1600.0,
        "status": status,
    }
    write_atomic(run.folder / "train_val.prototxt", NET.read_text())
    tests = [(0, 0.2, 1.6), (100, accuracy - 0.1, 0.7), (200, best, 0.55), (300, accuracy, 0.5)]
    lines = [f"{at},{at / 10},0.02,{value:.4g},{loss},0" for at, value, loss in tests]
    write_atomic(
        run.folder / "test.csv", "\n".join(["NumIters,Seconds,LearningRate,accuracy,loss,TestNet", *lines, ""])
    )
    lines = [f"{at},{at / 10},0.02,{1.6 - at / 200:.4g},{1.6 - at / 200:.4g}" for at in range(0, 301, 20)]
    write_atomic(run.folder / "train.csv", "\n".join(["NumIters,Seconds,LearningRate,loss,SmoothedLoss", *lines, ""]))
    engine = {"name": "caffe", "version": "caffe version 1.0.0", "device": "cpu"}
    model = {"model": {"file": "net_iter_300.caffemodel", "sha256": "0" * 64}}  # a net that is no longer there
    when = {"began": "2026-11-24T21:31:01Z", "ended": "2026-11-24T21:31:14Z", "commit": "0" * 40}
    made = {"experiment": experiment, "run": run.key, "attempts": 1, "engine": engine, **when, **model}
    write_json(run.manifest, made | {"result": figures | result})
    return run


def fail(key: str, attempts: int = 1) -> Run:
    """Writes the failed.json of a run that the engine aborted."""
    run = run_of(key)
    write_json(run.folder / "failed.json", {"run": run.key, "error": "caffe failed (exit 134)", "attempts": attempts})
    return run


def whole_sweep() -> None:
    """Writes every run of the demo: 3 sizes, 9 conditions, 2 directions."""
    for s, size in enumerate((6000, 60, 10)):
        for c, condition in enumerate(["base", "FTall", *(f"S{n}T" for n in range(1, 8))]):
            for d, direction in enumerate(("A2B", "B2A")):
                finish(f"{direction}/n{size:04d}/{condition}/seed0", round(0.85 - 0.15 * s - 0.01 * c + 0.02 * d, 4))


def pack_samples(exp: Experiment) -> None:
    """Writes a split of 5 + 5 classes and both full-size LMDBs: ten gray images a class, in its own shade."""
    split = split_of(exp, 0)
    write_json(split.marker, {"classes": {"A": ["0", "3", "5", "6", "9"], "B": ["1", "2", "4", "7", "8"]}})
    for half in "AB":
        images = [(np.full((1, 28, 28), 40 * label + i, np.uint8), label) for i in range(10) for label in range(5)]
        records = ((lmdb_file.key(n, "x"), datum.encode(image, label)) for n, (image, label) in enumerate(images))
        lmdb_file.write(split.train_lmdb(half, 6000), records)


def predict(key: str, right: np.ndarray) -> None:
    """Writes the predictions of a finished run. The labels are 0 1 2 3 4 0 ...; `right`: bool, N images."""
    run = run_of(key)
    label = np.arange(len(right), dtype=np.uint16) % 5
    write_atomic(run.folder / PREDICTIONS, npz_bytes({"label": label, "predicted": np.where(right, label, label + 1)}))
    manifest = read_json(run.manifest)
    write_json(run.manifest, manifest | {"predictions": {"file": PREDICTIONS}})
