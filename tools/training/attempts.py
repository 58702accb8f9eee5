"""How often a training was started, and where it went on from a snapshot: attempts.json in the run's folder."""

from pathlib import Path

from tools.common.files import read_json, write_json
from tools.protocol.layout import Run


def count_attempt(run: Run, inputs: dict[str, str]) -> int:
    """How many times this training was started with the same inputs, including this time."""
    last = read_json(_file(run))
    if not isinstance(last, dict) or last.get("inputs") != inputs:
        last = {"inputs": inputs}
    count = 1 + (attempts(run) if "count" in last else 0)
    write_json(_file(run), last | {"count": count})
    return count


def attempts(run: Run) -> int:
    """How many times the run's training was started with its last inputs; 0 if it never was."""
    record = read_json(_file(run))
    count = record.get("count") if isinstance(record, dict) else None
    return count if isinstance(count, int) else 0


def note_resumed(run: Run, iteration: int | None) -> list[int]:
    """Notes the iteration from which this attempt goes on, None if it starts from the beginning.

    Returns `resumed_at`: the iterations at which the training went on, in ascending order. What an attempt did after
    the snapshot from which a later one goes on is not part of it.
    """
    record = read_json(_file(run)) or {}
    resumed = [] if iteration is None else [n for n in record.get("resumed_at", []) if n < iteration] + [iteration]
    write_json(_file(run), record | {"resumed_at": resumed})
    return resumed


def _file(run: Run) -> Path:
    return run.folder / "attempts.json"
