"""Which job works on a run, and how often its jobs were killed: job.json in the run's folder.

    {"job": "12_3", "node": "n1", "log": "results/tiny/cluster/12_3.pilot.log",
     "kills": [{"job": "11_1", "why": "memory", "log": "..."}]}

What a run prints there is in job.log, beside it.
"""

from pathlib import Path
from typing import Any

from tools.cluster.executor import MEMORY, TIME, WHY
from tools.common.files import read_record, write_json
from tools.protocol.layout import Run
from tools.training.attempts import attempts

LOG = "job.log"  # in the run's folder: what its `tools run` printed in a job


def record_of(run: Run) -> dict[str, Any]:
    return read_record(_file(run), job=str, kills=list) or {"job": "", "kills": []}


def note_taken(run: Run, job: str, node: str, log: Path) -> None:
    """Notes that a job begins with the run. A job that had it before, and did not finish it, counts as gone."""
    write_json(_file(run), {"job": job, "node": node, "log": str(log), "kills": record_of(run)["kills"]})


def note_killed(run: Run, why: str) -> None:
    """Notes how the job that had the run ended (a key of WHY), with the run unfinished."""
    record = record_of(run)
    kills = [*record["kills"], {"job": record["job"], "why": why, "log": record.get("log", "")}]
    write_json(_file(run), record | {"job": "", "kills": kills})


def note_left(run: Run) -> None:
    """Notes that no job has the run any more: it has ended."""
    record = record_of(run)
    if record["job"]:
        write_json(_file(run), record | {"job": ""})


def kills(run: Run, *whys: str) -> int:
    """How often a job was killed in this way with the run in it."""
    return sum(kill.get("why") in whys for kill in record_of(run)["kills"])


def give_up(run: Run, retries: int) -> bool:
    """Fails a run (failed.json) that was killed for time or memory more than `retries` times; whether it did."""
    if kills(run, TIME, MEMORY) <= retries:
        return False
    write_json(run.failed, {"run": run.key, "error": told(run), "attempts": attempts(run)})
    return True


def forgive(run: Run) -> None:
    """Forgets the kills: the next sweep tries as often again."""
    write_json(_file(run), record_of(run) | {"kills": []})


def told(run: Run) -> str:
    """How the run's jobs were killed, and what to do: `killed for memory in job 12_1 (its log)`; empty if none was."""
    found = record_of(run)["kills"]
    if not found:
        return ""
    last = found[-1]
    times = f", {len(found)} times in all" if len(found) > 1 else ""
    key = {TIME: "hours", MEMORY: "memory"}.get(last["why"])
    more = f"; set more `{key}` in the profile" if key else ""
    return f"{WHY.get(last['why'], last['why'])} in job {last['job']} ({last['log']}){times}{more}"


def _file(run: Run) -> Path:
    return run.folder / "job.json"
