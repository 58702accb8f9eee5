"""What was run, and with what: read from the manifests of the runs, or from the manifests.jsonl of published tables."""

import json
from collections import Counter
from pathlib import Path
from typing import Any

from tools.common.files import read_json
from tools.results.columns import Row

_MANY = 3  # commits that are named one by one


def of_runs(rows: list[Row]) -> list[dict[str, Any]]:
    """The manifests of the runs that have one."""
    return [made for row in rows if (made := read_json(Path(row["run"]) / "manifest.json"))]


def published(tables: Path) -> list[dict[str, Any]]:
    """Those that tools/publish.py put beside the tables; none where it did not."""
    path = tables / "manifests.jsonl"
    return [json.loads(line) for line in path.read_text().splitlines()] if path.is_file() else []


def summed_up(manifests: list[dict[str, Any]]) -> dict[str, Any] | None:
    """Engines, devices and commits with the number of runs of each, and first and last time; None without manifests."""
    if not manifests:
        return None
    engines = Counter((made["engine"]["version"], made["engine"]["device"].partition(" ")[0]) for made in manifests)
    commits = Counter(made["commit"] or "unknown" for made in manifests)
    return {
        "engines": [[version, device, count] for (version, device), count in engines.most_common()],
        "commits": [[commit, count] for commit, count in commits.most_common()],
        "began": min(made["began"] for made in manifests),
        "ended": max(made["ended"] for made in manifests),
    }


def facts(known: dict[str, Any] | None, rows: list[Row]) -> list[tuple[str, str]]:
    """The lines of the page's `What was run`, as far as they are known: (name, text)."""
    seconds = sum(row["seconds"] or 0 for row in rows)
    spent = ("training", f"{_runs(len(rows))}, {seconds / 3600:.1f} hours of training in all")
    if known is None:
        return [("engine", ", ".join(sorted({str(row["engine"]) for row in rows}))), spent]
    engines = [f"{version} on the {device.upper()} ({_runs(count)})" for version, device, count in known["engines"]]
    commits = [f"{commit[:12]}{'+' * commit.endswith('+')} ({_runs(count)})" for commit, count in known["commits"]]
    if len(commits) > _MANY:
        commits = [*commits[:_MANY], f"and {len(commits) - _MANY} more"]
    return [
        ("engine", "; ".join(engines)),
        ("commit", "; ".join(commits)),
        spent,
        ("when", f"{_minute(known['began'])} to {_minute(known['ended'])}"),
    ]


def _runs(count: int) -> str:
    return f"{count:,} run{'s' * (count != 1)}"


def _minute(stamp: str) -> str:
    """2026-11-24T21:31:01Z -> 2026-11-24 21:31 UTC"""
    return f"{stamp[:16].replace('T', ' ')} UTC"
