"""docs/parity.md from the figures that the tests saw, and from what `make equivalence` found: `make parity`.

    PARITY_FIGURES=results/parity.json python -m pytest tests/torchcaffe
    python -m benchmarks.parity_report results/parity.json docs/parity.md

`python -m benchmarks.parity_report docs/parity.md` renews the parts of `make equivalence` alone.
"""

import json
import sys
from pathlib import Path

from benchmarks import equivalence, full_width
from tools.common.files import write_atomic

HEAD = """\
# torchcaffe beside BVLC Caffe: what was compared, and how far apart they were at worst

Written by `make parity` from the tests in tests/torchcaffe, which run BVLC Caffe 1.0.0 (Debian's, OpenBLAS, one thread)
and torchcaffe on the CPU in turn. A distance is max|a - b| / max|b| over a blob, unless its line says otherwise; 0 is
equality to the bit.

| what | comparisons | allowed | worst seen |
|---|---|---|---|
"""


def report(figures: dict[str, dict[str, float | int]]) -> str:
    """The page: a line a kind of comparison, in the order of the alphabet."""
    rows = [
        f"| {what} | {row['comparisons']} | {row['tolerance']:g} | {row['worst']:.2g} |\n"
        for what, row in sorted(figures.items())
    ]
    return HEAD + "".join(rows)


def with_sections(page: str, folder: Path) -> str:
    """`page`, its first part kept, with what the CSVs in `folder` say behind it."""
    sections = {"parity-alexnet.csv": full_width.section, "parity-seeds.csv": equivalence.section}
    head = page.partition("\n## ")[0].rstrip("\n") + "\n"
    return head + "".join(make(folder / name) for name, make in sections.items() if (folder / name).exists())


if __name__ == "__main__":
    *source, target = map(Path, sys.argv[1:])
    page = report(json.loads(source[0].read_text())) if source else target.read_text()
    write_atomic(target, with_sections(page, target.parent))
