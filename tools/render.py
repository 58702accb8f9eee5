"""Writes a run's train_val.prototxt, solver.prototxt and plan.txt from the templates, and prints its copy plan.

python -m tools render experiments/demo.yaml A2B/n0060/S3T/seed20
"""

from tools import cli
from tools.common.files import lock, write_if_changed
from tools.nets.surgery import LayerPlan
from tools.nets.templates import NET, SOLVER, Rendered, render
from tools.protocol.experiment import Experiment, load
from tools.protocol.layout import Run
from tools.protocol.runs import find_run, source_run
from tools.training.engine import find_engine

PLAN = "plan.txt"


def write(exp: Experiment, run: Run) -> Rendered:
    """Renders into the run's folder, with the copy plan. A file whose bytes do not change is not written."""
    rendered = render(exp, run)
    write_if_changed(run.folder / PLAN, copy_plan(run, source_run(exp, run), rendered.plan) + "\n")
    write_if_changed(run.folder / NET, rendered.net)
    write_if_changed(run.folder / SOLVER, rendered.solver)
    return rendered


def copy_plan(run: Run, source: Run | None, plan: list[LayerPlan]) -> str:
    """The plan as a text table."""
    head = f"{run.key}: weights from {source.folder if source else 'nowhere: every layer starts random'}"
    width = max(len(row.layer) for row in plan)
    rows = [f"  {row.layer:{width}}  {row.action:16}  named {row.name}" for row in plan]
    return "\n".join([head, *rows])


def main(argv: list[str]) -> None:
    parser = cli.parser("render", __doc__)
    cli.add_run(parser)
    arguments = parser.parse_args(argv)
    exp = load(arguments.experiment, arguments.set)
    run = find_run(exp, find_engine().name, arguments.run)
    with lock(run.lock):
        rendered = write(exp, run)
    print(copy_plan(run, source_run(exp, run), rendered.plan))
    print(f"wrote {run.folder / NET}, {SOLVER} and {PLAN}")
