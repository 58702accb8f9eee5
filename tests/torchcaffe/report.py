"""docs/parity.md from the figures that the tests saw: `make parity`.

PARITY_FIGURES=results/parity.json python -m pytest tests/torchcaffe
python tests/torchcaffe/report.py results/parity.json docs/parity.md
"""

import json
import sys
from pathlib import Path

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


if __name__ == "__main__":
    source, target = map(Path, sys.argv[1:])
    target.write_text(report(json.loads(source.read_text())))
