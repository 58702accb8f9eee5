"""Are the final accuracies of the two engines equivalent? The runs of experiments/equivalence.yaml, paired by seed.

    python -m benchmarks.equivalence results docs/parity-seeds.csv     after both sweeps: `make equivalence`

writes the accuracies to a CSV, prints the verdict, and exits with 1 if they are not equivalent. The test is two
one-sided t-tests of the paired differences (TOST, Schuirmann 1987): the means are within MARGIN of each other if both
"at least MARGIN lower" and "at least MARGIN higher" are rejected at the 5 % level. That is so if the 90 % interval of
the difference is within the margin.
"""

import csv
import io
import sys
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from scipy import stats

from tools.common.files import write_atomic

MARGIN = 0.01
ENGINES = {"caffe": "equivalence", "torchcaffe": "equivalence+engine=torchcaffe"}
COLUMNS = ("seed", *ENGINES)


@dataclass(frozen=True)
class Verdict:
    """Accuracies are between 0 and 1. `p` is the larger p-value of the two tests."""

    means: dict[str, float]
    sds: dict[str, float]
    difference: float  # of the means: torchcaffe - caffe, or bf16 - fp32
    interval: tuple[float, float]  # 90 %
    p: float
    n: int

    @property
    def equivalent(self) -> bool:
        return self.p < 0.05


def tost(accuracies: dict[str, np.ndarray], margin: float = MARGIN) -> Verdict:
    """The verdict on the second against the first. `accuracies`: name -> accuracies in the order of the seeds."""
    theirs, ours = accuracies.values()
    differences = ours - theirs
    above = stats.ttest_1samp(differences, -margin, alternative="greater")
    below = stats.ttest_1samp(differences, margin, alternative="less")
    interval = stats.ttest_1samp(differences, 0).confidence_interval(0.9)
    return Verdict(
        means={name: float(values.mean()) for name, values in accuracies.items()},
        sds={name: float(values.std(ddof=1)) for name, values in accuracies.items()},
        difference=float(differences.mean()),
        interval=(float(interval.low), float(interval.high)),
        p=float(max(above.pvalue, below.pvalue)),
        n=len(differences),
    )


def collect(results: Path) -> str:
    """The CSV of the seeds whose runs are ok in both engines: one row per seed."""
    tables = {}
    for engine, name in ENGINES.items():
        with (results / name / "runs.csv").open(newline="") as file:
            tables[engine] = {
                int(row["seed"]): row["accuracy"] for row in csv.DictReader(file) if row["status"] == "ok"
            }
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow(COLUMNS)
    for seed in sorted(tables["caffe"].keys() & tables["torchcaffe"].keys()):
        writer.writerow([seed, *(tables[engine][seed] for engine in ENGINES)])
    return out.getvalue()


def read(path: Path) -> dict[str, np.ndarray]:
    with path.open(newline="") as file:
        rows = list(csv.DictReader(file))
    return {engine: np.array([float(row[engine]) for row in rows]) for engine in ENGINES}


def section(path: Path) -> str:
    """The part of docs/parity.md about `path`, a CSV of `collect`."""
    verdict = tost(read(path))
    return f"""
## Where nets learn: final accuracies

Written by `make equivalence` from experiments/equivalence.yaml: {verdict.n} seeds in each engine, five classes of
Fashion-MNIST, the net of prototxt/mini. The accuracy of each seed is in [{path.name}]({path.name}). Runs of
one seed start from the same weights and see the same crops, mirrors and dropout masks. Rounding separates them in time.

{table(verdict, "engine")}
torchcaffe - Caffe, {sentence(verdict)}
"""


def table(verdict: Verdict, what: str) -> str:
    """The means and standard deviations as a table, whose first column is called `what`."""
    rows = "".join(
        f"| {name} | {verdict.n} | {100 * verdict.means[name]:.2f} % | {100 * verdict.sds[name]:.2f} |\n"
        for name in verdict.means
    )
    return f"| {what} | runs | mean accuracy | sd, points |\n|---|---|---|---|\n{rows}"


def sentence(verdict: Verdict) -> str:
    """The difference, its interval and what they mean."""
    low, high = (f"{100 * end:+.2f}" for end in verdict.interval)
    answer = "equivalent" if verdict.equivalent else "equivalence is not shown"
    outside = not verdict.interval[0] < 0 < verdict.interval[1]
    remark = (
        " The interval does not contain 0:\nthe difference is small, but may be more than chance." if outside else ""
    )
    return (
        f"paired by seed: {100 * verdict.difference:+.2f} points, 90 % interval {low} to {high}. Two one-sided\n"
        f"t-tests with a margin of {100 * MARGIN:g} point, p = {verdict.p:.2g}: {answer}.{remark}"
    )


if __name__ == "__main__":
    results, target = map(Path, sys.argv[1:])
    write_atomic(target, collect(results))
    print(section(target))
    sys.exit(not tost(read(target)).equivalent)
