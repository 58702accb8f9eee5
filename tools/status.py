"""What of an experiment is done, running, waiting or failed: one line a size and direction, a mark a run.

python -m tools status experiments/demo.yaml
"""

from collections import Counter

from tools import cli
from tools.planning.state import make_plan
from tools.protocol import layout
from tools.protocol.layout import Run, size_name
from tools.training.engine import find

MARKS = {
    "done": "done",
    "running": "running",
    "failed": "FAILED",
    "waiting": ".",
    "unscored": "unscored",
    "stale": "stale",
}


def table(states: dict[Run, str]) -> str:
    """The runs as a table: sizes, directions and seeds down, conditions across."""
    conditions = list(dict.fromkeys(run.condition for run in states))
    rows: dict[tuple, dict[str, str]] = {}
    for run, what in states.items():
        rows.setdefault((size_name(run.size), run.direction, f"seed{run.seed}"), {})[run.condition] = what.split(":")[0]
    width = max(9, *(len(name) + 2 for name in conditions))
    lines = [f"{'':21}" + "".join(f"{name:>{width}}" for name in conditions)]
    for (size, direction, seed), cells in rows.items():
        marks = "".join(f"{MARKS.get(cells.get(name), ''):>{width}}" for name in conditions)
        lines.append(f"{size:8}{direction:5}{seed:8}{marks}")
    return "\n".join(lines)


def main(argv: list[str]) -> None:
    exp = cli.experiment("status", __doc__, argv)
    engine = find()
    found = make_plan(exp, engine)
    print(table(found.runs))
    counts = Counter(what.split(":")[0] for what in found.runs.values())
    print(", ".join(f"{counts[word]} {word}" for word in MARKS if counts[word]) + f" of {len(found.runs)} runs")
    print("stages: " + ", ".join(f"{stage} {'done' if done else 'to do'}" for stage, done in found.stages.items()))
    for run, what in found.runs.items():
        if what.startswith(("failed", "stale")):
            print(f"  {run.folder}: {what}")
    print(f"results: {layout.results_folder(exp, engine.name)}/")
