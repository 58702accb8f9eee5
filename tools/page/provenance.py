"""What was run: read from the manifests of the runs, or from the manifests.jsonl of published tables."""

from collections import Counter
from pathlib import Path
from typing import Any

from tools.common.files import read_json
from tools.results.columns import MANIFESTS, Row
from tools.results.tables import read_manifests

_MAX_COMMITS = 3  # that are listed


Manifest = dict[str, Any]


def manifests_of(rows: list[Row]) -> list[Manifest]:
    """The manifests of the runs in the rows of runs.csv, as far as they exist."""
    return [manifest for row in rows if (manifest := read_json(Path(row["run"]) / "manifest.json"))]


def published_manifests(tables: Path) -> list[Manifest]:
    """The manifests in the folder of published tables; none if there are none. Raises UserError for a damaged one."""
    path = tables / MANIFESTS
    return read_manifests(path) if path.is_file() else []


def summary(manifests: list[Manifest]) -> dict[str, Any] | None:
    """Engines, devices and commits with the number of runs of each, first and last time, and the number of images that
    were left out of the data set; None without manifests."""
    if not manifests:
        return None
    devices = [manifest["engine"]["device"].partition(" ")[0] for manifest in manifests]
    versions = [manifest["engine"]["version"] for manifest in manifests]
    engines = Counter(zip(versions, devices, strict=True))
    commits = Counter(manifest["commit"] or "unknown" for manifest in manifests)
    return {
        "engines": [[version, device, count] for (version, device), count in engines.most_common()],
        "commits": [[commit, count] for commit, count in commits.most_common()],
        "began": min(manifest["began"] for manifest in manifests),
        "ended": max(manifest["ended"] for manifest in manifests),
        "left_out": max(sum((manifest.get("left_out") or {}).values()) for manifest in manifests),
    }


def facts(ran: dict[str, Any] | None, rows: list[Row]) -> list[tuple[str, str]]:
    """(name, text) of each line of the section `What was run`. `ran`: what `summary` returned."""
    seconds = sum(row["seconds"] or 0 for row in rows)
    training = ("training", f"{_runs(len(rows))}, {seconds / 3600:.1f} hours of training in all")
    if ran is None:
        return [("engine", ", ".join(sorted({str(row["engine"]) for row in rows}))), training]
    engines = [f"{version} on the {device.upper()} ({_runs(count)})" for version, device, count in ran["engines"]]
    commits = [f"{commit[:12]}{'+' * commit.endswith('+')} ({_runs(count)})" for commit, count in ran["commits"]]
    if len(commits) > _MAX_COMMITS:
        commits = [*commits[:_MAX_COMMITS], f"and {len(commits) - _MAX_COMMITS} more"]
    lost = ran.get("left_out", 0)
    left_out = f"{lost:,} image{'s' * (lost != 1)} missing or unreadable, and left out (on_bad_image: skip)"
    return [
        ("engine", "; ".join(engines)),
        ("commit", "; ".join(commits)),
        training,
        ("when", f"{_minute(ran['began'])} to {_minute(ran['ended'])}"),
        *([("images", left_out)] if lost else []),
    ]


def _runs(count: int) -> str:
    return f"{count:,} run{'s' * (count != 1)}"


def _minute(stamp: str) -> str:
    """2026-11-24T21:31:01Z -> 2026-11-24 21:31 UTC"""
    return f"{stamp[:16].replace('T', ' ')} UTC"
