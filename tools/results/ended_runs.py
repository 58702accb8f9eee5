"""The runs with a folder in models/<experiment>/: all of them, and those that have ended."""

import hashlib
import json
import re
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

from tools.protocol.layout import MODELS, Direction, Run
from tools.protocol.runs import condition_of
from tools.results.columns import condition_order, size_order


@dataclass(frozen=True)
class EndedRun:
    """A run with its manifest.json or, if it has none, its failed.json: the file's checksum and content."""

    run: Run
    sha256: str
    content: dict[str, Any]


def ended_runs(experiment: str) -> list[EndedRun]:
    """Every run of `experiment` (models/<experiment>/) that has ended, in the order of the tables."""
    runs = runs_on_disk(experiment)
    return [ended for run in runs if (ended := _read(run, run.manifest) or _read(run, run.failed))]


def note_damaged_manifests(experiment: str) -> None:
    """Prints a note on stderr for each manifest.json below models/<experiment>/ that cannot be read."""
    for run in runs_on_disk(experiment):
        if run.manifest.exists() and _read(run, run.manifest) is None:
            why = "damaged, so the run counts as not finished, and its result is in no table; a sweep finishes it again"
            print(f"note: {run.manifest}: {why}", file=sys.stderr)


def runs_on_disk(experiment: str, retained: bool = False) -> list[Run]:
    """Every run with a folder below models/<experiment>/, selected now or not, in the order of the tables.

    X-retain runs are scored on the other half, so they are left out; with `retained` only they are returned. Folders
    that are not runs (for example a copy named `seed0.bak`) are left out.
    """
    folders = (MODELS / experiment).glob("*/*/*/*/")
    runs = [run for folder in folders if (run := run_of(experiment, "/".join(folder.parts[-4:])))]
    return sorted((run for run in runs if bool(condition_of(run).retained) == retained), key=run_order)


def run_order(run: Run) -> tuple[Any, ...]:
    """The largest size first (`all` before any), the thesis' order of conditions, then direction and seed."""
    return (size_order(run.size), condition_order(run.condition), run.direction, run.seed)


def run_of(experiment: str, key: str) -> Run | None:
    """The run of a key, A2B/n0300/S3T/seed0; None if the text is not a key in exactly this form."""
    match = re.fullmatch(r"(A2B|B2A)/n(\d+|all)/([\w+-]+)/seed(\d+)", key)
    if not match:
        return None
    direction, size, condition, seed = match.groups()
    run = Run(experiment, cast(Direction, direction), "all" if size == "all" else int(size), condition, int(seed))
    try:
        condition_of(run)
    except ValueError:
        return None
    return run if run.key == key else None


def _read(run: Run, path: Path) -> EndedRun | None:
    """None if the file is absent, or not a JSON object with the attempts: such a run has not ended."""
    try:
        data = path.read_bytes()
        content = json.loads(data)
    except (FileNotFoundError, ValueError, RecursionError):
        return None
    is_whole = isinstance(content, dict) and isinstance(content.get("attempts"), int)
    is_whole = is_whole and isinstance(content.get("result") or {}, dict)
    return EndedRun(run, hashlib.sha256(data).hexdigest(), content) if is_whole else None
