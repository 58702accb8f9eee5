"""For how many iterations do both engines print the same losses, for AlexNet in its full width at its plateau?

    python -m benchmarks.full_width .caffe/caffe docs/parity-alexnet.csv      of `make equivalence`

prototxt/alexnet, batches of 16, random crop, mirror and dropout, random_seed 1, one BLAS thread, 100 iterations with a
display each and a test every 25. Random labels keep the net at its plateau. There are three runs: Caffe, torchcaffe,
and Caffe with the OpenBLAS kernels of another processor (OPENBLAS_CORETYPE), which add in another order. The last bit
of a float32 sum depends on the order, and training makes the difference grow. So no program can be expected to be
closer to Caffe than Caffe is to itself.
"""

import csv
import io
import re
import shutil
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from caffeformat import datum, lmdb_file, prototxt
from caffeformat.caffeformat_pb2 import NetParameter
from tests.helpers import engine_runs
from tools.common.files import write_atomic

ITERATIONS, DISPLAY = 100, 20  # DISPLAY: of the reference solver; here every iteration is displayed
OTHER = "Sandybridge"  # AVX without FMA: kernels that OpenBLAS chooses on no current processor
PAIRS = {"torchcaffe": "torchcaffe", "Caffe with another processor's kernels": "caffe_other_kernels"}
COLUMNS = ("kind", "iteration", "caffe", *PAIRS.values())


def full_alexnet() -> NetParameter:
    """The template with all its filters, on the images of `engine_runs.make_data`."""
    net = engine_runs.slim_alexnet()
    whole = prototxt.read_net(engine_runs.CHECKOUT / "prototxt" / "alexnet" / "train_val.prototxt")
    for slim, wide in zip(net.layer, whole.layer, strict=True):
        for name in ("convolution_param", "inner_product_param"):
            if slim.HasField(name) and slim.name != "fc8":
                getattr(slim, name).num_output = getattr(wide, name).num_output
    return net


def make_experiment(folder: Path) -> None:
    settings = {"max_iter": ITERATIONS, "test_interval": 25, "display": 1}
    engine_runs.make_experiment(folder, full_alexnet(), **settings, snapshot=0, snapshot_after_train="false")
    random = np.random.default_rng(11)
    for name in ("train", "val"):
        with lmdb_file.open_reader(folder / name) as reader:
            records = list(reader)
        shutil.rmtree(folder / name)
        labels = random.integers(engine_runs.CLASSES, size=len(records)).tolist()
        items = [
            (key, datum.encode(datum.decode(value)[0], label))
            for (key, value), label in zip(records, labels, strict=True)
        ]
        lmdb_file.write(folder / name, items)


def losses(run: engine_runs.Run) -> dict[tuple[str, int], str]:
    """(train or test, iteration) -> loss as printed, for every loss in the log."""
    assert run.code == 0, run.log[-2000:]
    printed, iteration = {}, 0
    for line in run.lines():
        if testing := re.search(r"Iteration (\d+), Testing net", line):
            iteration = int(testing[1])
        elif train := re.search(r"Iteration (\d+), loss = (\S+)", line):
            printed["train", int(train[1])] = train[2]
        elif test := re.search(r"Test net output #\d+: loss = (\S+)", line):
            printed["test", iteration] = test[1]
    return printed


def compare(caffe: Path) -> str:
    """Runs all three and returns the CSV of their losses."""
    command = ("train", "--solver=solver.prototxt")
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        make_experiment(folder)
        printed = {
            "caffe": losses(engine_runs.real(caffe, folder, *command)),
            "caffe_other_kernels": losses(engine_runs.real(caffe, folder, *command, OPENBLAS_CORETYPE=OTHER)),
            "torchcaffe": losses(engine_runs.ours(folder, *command)),
        }
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow(COLUMNS)
    for kind, iteration in printed["caffe"]:
        writer.writerow([kind, iteration, *(printed[engine][kind, iteration] for engine in COLUMNS[2:])])
    return out.getvalue()


@dataclass(frozen=True)
class Divergence:
    """How far the losses of one column of the CSV are from Caffe's."""

    first: int | None  # iteration of the first train loss with other digits
    equal: dict[str, tuple[int, int]]  # number of equal losses, and of all: at the reference's displays, of the tests
    worst: list[tuple[int, float]]  # up to this iteration: the largest relative difference of a train loss


def divergence(rows: list[dict[str, str]], column: str) -> Divergence:
    train = [row for row in rows if row["kind"] == "train"]
    shown = [row for row in train if int(row["iteration"]) % DISPLAY == 0]
    tests = [row for row in rows if row["kind"] == "test"]
    different = [int(row["iteration"]) for row in train if row[column] != row["caffe"]]
    relative = [abs(float(row[column]) / float(row["caffe"]) - 1) for row in train]
    return Divergence(
        first=min(different, default=None),
        equal={
            what: (sum(row[column] == row["caffe"] for row in some), len(some))
            for what, some in (("display", shown), ("tests", tests))
        },
        worst=[(end, max(relative[: end + 1])) for end in (10, 20, 50, 100)],
    )


def read(path: Path) -> list[dict[str, str]]:
    """The rows of a CSV of `compare`."""
    with path.open(newline="") as file:
        return list(csv.DictReader(file))


def section(path: Path) -> str:
    """The part of docs/parity.md about `path`, a CSV of `compare`."""
    rows = read(path)
    lines = []
    for name, column in PAIRS.items():
        result = divergence(rows, column)
        first = "none" if result.first is None else str(result.first)
        equal = " | ".join(f"{equal} of {total}" for equal, total in result.equal.values())
        lines.append(
            f"| {name} | {first} | {equal} | " + " | ".join(f"{worst:.1e}" for _, worst in result.worst) + " |\n"
        )
    return f"""
## A seeded AlexNet in its full width

Written by `make equivalence` (benchmarks/full_width.py). It trains prototxt/alexnet for {ITERATIONS} iterations at its
plateau, with batches of 16, random crop, mirror and dropout, `random_seed: 1` and one BLAS thread, and tests every 25
iterations. Every loss is in [{path.name}]({path.name}).

The AlexNet with few filters in the table above prints Caffe's digits to the end. The full one does not. Its sums have
hundreds of float32 products. The last bit of a sum depends on the order of its terms, which differs between BLAS
kernels. Training makes the difference grow. So Caffe is also compared with itself, with the kernels that its OpenBLAS
has for another processor ({OTHER}).

- first: first iteration whose printed loss differs from Caffe's
- display, tests: number of losses with equal printed digits, among those that the reference solver's
  `display: {DISPLAY}` shows, and among those of the tests
- to 10, 20, 50, 100: largest relative difference of a training loss up to this iteration (one unit of the sixth digit
  is 6e-06 here)

| engine | first | display {DISPLAY} | tests | to 10 | to 20 | to 50 | to 100 |
|---|---|---|---|---|---|---|---|
{"".join(lines)}"""


if __name__ == "__main__":
    caffe, target = map(Path, sys.argv[1:])
    write_atomic(target, compare(caffe.absolute()))
    print(section(target))
