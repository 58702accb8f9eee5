"""What a part of `make bench` measured, as docs/benchmarks/PART.json: tables, and where, when and of what.

    measuring = Measuring("parse")
    ...
    measuring.table("A log of a million lines", ["program", "seconds"], [["tools parse", "1.56"]])
    measuring.write()

`python -m benchmarks.speed_page` makes docs/benchmarks.md of these files. All figures on that page are in them.
"""

import json
import os
import subprocess
import time
from pathlib import Path
from typing import Any

from tools.common.checkout import CHECKOUT
from tools.common.files import write_atomic
from tools.training import kernels
from tools.training.engine import Engine
from tools.training.kernels import KERNELS
from tools.training.machine import machine

FOLDER = CHECKOUT / "docs" / "benchmarks"


class Measuring:
    """One part, from its start to its record."""

    def __init__(self, part: str) -> None:
        self._part, self._began = part, time.time()
        self._load = os.getloadavg()[0]
        self._tables: list[dict[str, object]] = []
        self._notes: list[str] = []

    def table(self, title: str, columns: list[str], rows: list[list[str]]) -> None:
        self._tables.append({"title": title, "columns": columns, "rows": rows})

    def note(self, text: str) -> None:
        """A sentence below the tables, with figures that were measured."""
        self._notes.append(text)

    def write(self, folder: Path = FOLDER) -> Path:
        """Writes the record; a part that measured nothing leaves the earlier one alone."""
        path = folder / f"{self._part}.json"
        if self._tables:
            write_atomic(path, json.dumps(self._record(), indent=1, ensure_ascii=False) + "\n")
        return path

    def _record(self) -> dict[str, object]:
        where = machine()
        return {
            "part": self._part,
            "date": time.strftime("%Y-%m-%d %H:%M UTC", time.gmtime(self._began)),
            "seconds": round(time.time() - self._began),
            "commit": commit(),
            "processor": where["processor"],
            "cores": where["cores"],
            "kernels": os.environ.get(KERNELS),
            "load_before": round(self._load, 1),
            "load_after": round(os.getloadavg()[0], 1),
            "tables": self._tables,
            "notes": self._notes,
        }


def take_better_kernels(caffe: Engine) -> None:
    """Measures Caffe with the kernels that a sweep gives it (tools/training/kernels.py); the record names them."""
    taken = kernels.environment(caffe)
    os.environ.pop(KERNELS, None)
    os.environ.update({name: taken[name] for name in {KERNELS} & taken.keys()})


def commit() -> str | None:
    """The checkout's commit, followed by `+` if files outside of docs/ have changes; None without git."""
    git = ["git", "-C", str(CHECKOUT)]
    head = subprocess.run([*git, "rev-parse", "--short=10", "HEAD"], capture_output=True, text=True)
    changes = subprocess.run([*git, "status", "--porcelain", "--", ":!docs"], capture_output=True, text=True)
    return head.stdout.strip() + ("+" if changes.stdout.strip() else "") if head.returncode == 0 else None


def records(folder: Path = FOLDER) -> dict[str, dict[str, Any]]:
    """Part -> its record, of all parts that were measured."""
    return {path.stem: json.loads(path.read_text(encoding="utf-8")) for path in sorted(folder.glob("*.json"))}
