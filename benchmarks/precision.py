"""Does bf16 change what is learned? The runs of experiments/equivalence.yaml in fp32 and in bf16, paired by seed.

    python -m benchmarks.precision docs/parity-precision.csv     after fetch, split, pack and mean: `make precision`

trains in this process, on one thread, without the tests between: they change nothing of a training. So a run ends with
the net, and the accuracy, that a sweep of the pipeline with `SET="precision=bf16"` gives. The CSV has a row for each
seed and is written after each of them; seeds that it has are not trained again.
"""

import csv
import sys
import tempfile
from pathlib import Path

import numpy as np
import torch

from benchmarks.equivalence import sentence, table, tost
from caffeformat import prototxt
from caffeformat.caffeformat_pb2 import SolverParameter
from tools.common.files import write_atomic
from tools.nets.templates import render
from tools.protocol.experiment import Experiment, load
from tools.protocol.runs import runs_of
from torchcaffe.common import context
from torchcaffe.solvers.solver import Solver

EXPERIMENT = Path("experiments/equivalence.yaml")
PRECISIONS = ("fp32", "bf16")


def accuracies_of(exp: Experiment, seed: int) -> dict[str, float]:
    """Precision -> the accuracy after the training of the experiment's run with this seed."""
    (run,) = (run for run in runs_of(exp, "torchcaffe") if run.seed == seed)
    rendered = render(exp, run)
    solver = prototxt.parse(rendered.solver, SolverParameter(), str(EXPERIMENT))
    solver.test_interval, solver.test_initialization, solver.snapshot = solver.max_iter, False, 0
    found = {}
    with tempfile.TemporaryDirectory() as folder:
        solver.net = f"{folder}/net.prototxt"
        Path(solver.net).write_text(rendered.net)
        for precision in PRECISIONS:
            context.set_precision(precision)
            trained = Solver(solver)
            trained.step(solver.max_iter)
            found[precision] = dict(trained.test(0) or [])[rendered.accuracy]
    return found


def read(path: Path) -> dict[str, np.ndarray]:
    """Precision -> its accuracies in the order of the seeds, from a CSV that this program wrote."""
    with path.open(newline="") as file:
        rows = list(csv.DictReader(file))
    return {name: np.array([float(row[name]) for row in rows]) for name in PRECISIONS}


def section(path: Path) -> str:
    """The part of docs/parity.md about `path`."""
    verdict = tost(read(path))
    return f"""
## What bf16 changes

Written by `make precision` (benchmarks/precision.py): the experiment of the section above in torchcaffe, on the CPU,
with `--precision=fp32` and with `--precision=bf16`, {verdict.n} seeds in each. The accuracy of each seed is in
[{path.name}]({path.name}). Runs of one seed start from the same weights and see the
same crops, mirrors and dropout masks.

{table(verdict, "precision")}
bf16 - fp32, {sentence(verdict)}
"""


def main(target: Path) -> None:
    exp = load(EXPERIMENT)
    text = target.read_text() if target.exists() else ",".join(("seed", *PRECISIONS)) + "\n"
    done = {line.partition(",")[0] for line in text.splitlines()}
    torch.set_num_threads(1)
    for seed in exp.seeds:
        if str(seed) not in done:
            found = accuracies_of(exp, seed)
            text += ",".join([str(seed), *(f"{found[name]:.6g}" for name in PRECISIONS)]) + "\n"
            write_atomic(target, text)
            print(f"seed {seed}: {found}", flush=True)
    print(section(target))


if __name__ == "__main__":
    main(Path(sys.argv[1]))
