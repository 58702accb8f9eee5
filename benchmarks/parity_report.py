"""Writes docs/parity.md from the differences that the tests measured and from the CSVs of `make equivalence`.

    PARITY_FIGURES=results/parity.json python -m pytest tests/torchcaffe
    python -m benchmarks.parity_report results/parity.json docs/parity.md

`python -m benchmarks.parity_report docs/parity.md` only updates the sections of `make equivalence`.
"""

import json
import re
import sys
from dataclasses import dataclass
from pathlib import Path

from benchmarks import equivalence, full_width, precision
from tools.common.files import write_atomic

HEAD = """\
# torchcaffe compared with BVLC Caffe

The same nets, data and seeds run in BVLC Caffe 1.0.0 (Debian's, OpenBLAS, one thread) and in torchcaffe, on the CPU,
one after the other. This page says how far apart the two are. Single values and updates agree in about five digits.
Sums of float32 numbers in another order differ in the last bits, and training makes this difference grow. The same
happens between two processors with Caffe alone. So final accuracies are compared over many seeds. Separate tests check
that weights at the start, crops, mirrors and dropout masks are equal bit for bit.

| question | answer |
|---|---|
"""
TABLE = """
## Every comparison

Written by `make parity` from the tests in tests/torchcaffe. A distance is max|a - b| / max|b| over a blob, unless its
line says otherwise; 0 means equal, bit for bit.

"""
COLUMNS = """\
| what | comparisons | allowed | worst seen |
|---|---|---|---|
"""
ROUNDED = 1.05  # the page shows the worst distance with two digits
_ROW = re.compile(r"^\| (.+) \| (\d+) \| (\S+) \| (\S+) \|$", re.MULTILINE)


@dataclass(frozen=True)
class Row:
    """One kind of comparison: a row of the page's table."""

    what: str
    comparisons: int
    allowed: float
    worst: float


def report(figures: dict[str, dict[str, float | int]]) -> str:
    """The table of all comparisons, in alphabetical order."""
    rows = [
        f"| {what} | {row['comparisons']} | {row['tolerance']:g} | {row['worst']:.2g} |\n"
        for what, row in sorted(figures.items())
    ]
    return COLUMNS + "".join(rows)


def with_sections(page: str, folder: Path) -> str:
    """The whole page: the summary, the table of `page`, and the sections from the CSVs in `folder`."""
    table = page.partition(COLUMNS)[2].partition("\n\n")[0].rstrip("\n") + "\n"
    rows = [Row(what, int(count), float(allowed), float(worst)) for what, count, allowed, worst in _ROW.findall(table)]
    sections = {
        "parity-alexnet.csv": full_width.section,
        "parity-seeds.csv": equivalence.section,
        "parity-precision.csv": precision.section,
    }
    parts = [write(folder / name) for name, write in sections.items() if (folder / name).exists()]
    answers = "".join(f"| {question} | {answer} |\n" for question, answer in _answers(rows, folder).items())
    return HEAD + answers + TABLE + COLUMNS + table + "".join(parts)


def _answers(rows: list[Row], folder: Path) -> dict[str, str]:
    """Question -> answer, each from the rows of the table or from a CSV in `folder`."""
    within = sum(row.worst <= row.allowed * ROUNDED for row in rows)
    count = sum(row.comparisons for row in rows)
    equal = [row for row in rows if not row.worst]
    layers = [row for row in rows if re.search(r": (outputs|.*gradients)$", row.what) and row.allowed == 1e-5]
    updates = [row for row in rows if row.what.startswith(("one step of", "eight updates"))]
    answers = {
        "Are the differences within the tests' tolerances?": f"{within} of {len(rows)} kinds of comparison are; "
        f"{count:,} comparisons in all",
        "What is equal, bit for bit?": f"{len(equal)} kinds, {sum(row.comparisons for row in equal):,} comparisons",
        "How far apart are the values and gradients of a layer or net?": _worst(layers),
        "How far apart are weights and history after an update, in all six solvers?": _worst(updates),
    }
    if logs := [row for row in rows if row.what == "seeded AlexNet run: log lines that differ"]:
        answers["Does a seeded AlexNet with few filters print the same log?"] = (
            f"{logs[0].worst:g} lines differ; random crop, mirror and dropout are in it"
        )
    if (folder / "parity-alexnet.csv").exists():
        answers["And AlexNet in its full width?"] = _full_width(folder / "parity-alexnet.csv")
    if (folder / "parity-seeds.csv").exists():
        verdict = equivalence.tost(equivalence.read(folder / "parity-seeds.csv"))
        answers["Do trained nets have the same accuracy?"] = f"torchcaffe - Caffe is {_apart(verdict, 'engine')}"
    if (folder / "parity-precision.csv").exists():
        verdict = equivalence.tost(precision.read(folder / "parity-precision.csv"))
        answers["And with `--precision=bf16`?"] = f"bf16 - fp32 is {_apart(verdict, 'precision')}"
    return answers


def _worst(rows: list[Row]) -> str:
    worst = max(rows, key=lambda row: row.worst)
    return (
        f"at most {worst.worst:g} of the largest value ({worst.what}); {worst.allowed:g} is allowed; "
        f"{len(rows)} kinds, {sum(row.comparisons for row in rows):,} comparisons"
    )


def _full_width(path: Path) -> str:
    rows = full_width.read(path)
    first = {name: full_width.divergence(rows, column).first for name, column in full_width.PAIRS.items()}
    ends = [f"{name} {'never' if end is None else f'at iteration {end}'}" for name, end in first.items()]
    return f"in {full_width.ITERATIONS} iterations the first printed loss that differs from Caffe's: {'; '.join(ends)}"


def _apart(verdict: equivalence.Verdict, what: str) -> str:
    """The difference of the means of each `what`."""
    low, high = (f"{100 * end:+.2f}" for end in verdict.interval)
    answer = "equivalent" if verdict.equivalent else "equivalence is not shown"
    return (
        f"{100 * verdict.difference:+.2f} points of accuracy (90 % interval {low} to {high}), "
        f"{verdict.n} seeds in each {what}; within {100 * equivalence.MARGIN:g} point: {answer}"
    )


if __name__ == "__main__":
    *source, target = map(Path, sys.argv[1:])
    page = report(json.loads(source[0].read_text())) if source else target.read_text()
    write_atomic(target, with_sections(page, target.parent))
