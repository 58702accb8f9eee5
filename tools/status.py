"""Show which runs of an experiment are done, running, waiting or failed: a line for each size and direction.

    python -m tools status experiments/demo.yaml

`unscored` runs are trained, but their predictions are missing; `stale` ones were made from other inputs than now. Of a
sweep on a cluster it shows the jobs that are there, and which runs were killed with their job, and why.
"""

from collections import Counter

from tabulate import tabulate

from tools import cli
from tools.cluster import fate
from tools.cluster.order import queue
from tools.planning.state import make_plan
from tools.protocol import layout
from tools.protocol.layout import Run, size_name
from tools.training.engine import engine_of

MARKS = {
    "done": "done",
    "running": "running",
    "failed": "FAILED",
    "waiting": ".",
    "unscored": "unscored",
    "stale": "stale",
}


def table(states: dict[Run, str]) -> str:
    """The runs as a text table: a row per size, direction and seed, a column per condition."""
    conditions = list(dict.fromkeys(run.condition for run in states))
    rows: dict[tuple[str, str, str], dict[str, str]] = {}
    for run, state in states.items():
        cells = rows.setdefault((size_name(run.size), run.direction, f"seed{run.seed}"), {})
        cells[run.condition] = MARKS[state.split(":")[0]]
    lines = [[*place, *(cells.get(name, "") for name in conditions)] for place, cells in rows.items()]
    return tabulate(lines, ["", "", "", *conditions], "plain", stralign="right")


def main(argv: list[str]) -> None:
    exp = cli.experiment("status", __doc__, argv)
    engine = engine_of(exp)
    plan = make_plan(exp, engine)
    print(table(plan.runs))
    counts = Counter(state.split(":")[0] for state in plan.runs.values())
    print(", ".join(f"{counts[name]} {name}" for name in MARKS if counts[name]) + f" of {len(plan.runs)} runs")
    stages = (f"{stage} {plan.stage_state(stage)}" for stage in plan.stages)
    print(f"stages: {', '.join(stages)}")
    for run, state in plan.runs.items():
        killed = fate.told(run) if state in ("waiting", "failed") else ""
        if state.startswith(("failed", "stale")) or killed:
            print(f"  {run.folder}: {': '.join(filter(None, (state, killed)))}")
    for line in queue(exp, engine):
        print(line)
    print(f"results: {layout.results_folder(exp, engine.name)}/")
