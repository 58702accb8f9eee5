"""Draw the figures of an experiment from its tables, logs and LMDBs.

    python -m tools plot experiments/demo.yaml
    python -m tools plot experiments/demo.yaml --run A2B/n0060/S3T/seed0     that run's learning curves, too

writes, as PNG and PDF, into results/<experiment>/figures/: accuracy (thesis figures 6.1 and 6.2), learning_curves of
the source nets (5.4 and 5.5) and samples (5.1); beside the first two the CSV of what they show. tools/figures/ has one
file for each.
"""

from pathlib import Path

from tools import cli
from tools.errors import UserError
from tools.experiment import Experiment, load
from tools.files import read_json, sha256, write_json
from tools.layout import results_folder
from tools.results import RUNS, SUMMARY, engine_name, read_csv

MARKER = "figures.json"


def plot(exp: Experiment, engine: str) -> bool:
    """Draws every figure whose data is there, and prints why another is not; returns False if all were complete.

    `engine` is the engine's name (tools/engine.py). Raises UserError where there are no tables yet.
    """
    from tools.figures import NoData, accuracy, curves, samples, style  # takes a second; is_complete must not

    if is_complete(exp, engine):
        return False
    results = results_folder(exp, engine)
    rows, means = _table(exp, results / RUNS), _table(exp, results / SUMMARY)
    folder, drawn_from = results / "figures", sha256(results / RUNS)
    figures = {
        accuracy.NAME: lambda: accuracy.draw(exp, rows, means, folder),
        curves.NAME: lambda: curves.draw(exp, curves.source_nets(exp, rows), folder),
        samples.NAME: lambda: samples.draw(exp, folder),
    }
    (folder / MARKER).unlink(missing_ok=True)
    drawn = []
    with style.house_style():
        for name, draw in figures.items():
            try:
                draw()
                drawn.append(name)
            except NoData as why:
                print(f"{folder / name}: not drawn: {why}")
    write_json(folder / MARKER, {RUNS: drawn_from, "drawn": drawn})
    return True


def is_complete(exp: Experiment, engine: str) -> bool:
    """Whether the figures are those of runs.csv as it is. One that could not be drawn is not asked for again."""
    results = results_folder(exp, engine)
    made = read_json(results / "figures" / MARKER)
    if made is None or not (results / RUNS).is_file() or made[RUNS] != sha256(results / RUNS):
        return False
    return all((results / "figures" / f"{name}.{kind}").is_file() for name in made["drawn"] for kind in ("png", "pdf"))


def plot_run(exp: Experiment, engine: str, key: str) -> Path:
    """Draws the learning curves of one run of runs.csv, and returns the PNG. Raises UserError where it has none."""
    from tools.figures import NoData, curves, style

    results = results_folder(exp, engine)
    rows = [row for row in _table(exp, results / RUNS) if f"/{row['run']}".endswith(f"/{key.strip('/')}")]
    if len(rows) != 1:
        raise UserError(f"{results / RUNS}: {len(rows)} runs are called {key!r}; give one as in A2B/n0300/S3T/seed0")
    name = "-".join([curves.NAME, *Path(rows[0]["run"]).parts[-4:]])
    try:
        with style.house_style():
            curves.draw(exp, rows, results / "figures", name)
    except NoData as why:
        raise UserError(f"{rows[0]['run']}: no learning curves: {why}") from None
    return results / "figures" / f"{name}.png"


def _table(exp: Experiment, path: Path) -> list[dict]:
    if not path.is_file():
        raise UserError(f"{path}: not there yet; run `python -m tools summarize {exp.file}` first")
    return read_csv(path)


def main(argv: list[str]) -> None:
    parser = cli.parser("plot", __doc__)
    parser.add_argument("--run", metavar="KEY", help="draw this run's learning curves, too: A2B/n0300/S3T/seed0")
    arguments = parser.parse_args(argv)
    exp = load(arguments.experiment, arguments.set)
    done = plot(exp, engine_name())
    print(f"{results_folder(exp, engine_name()) / 'figures'}/: {'drawn' if done else 'complete already'}")
    if arguments.run:
        print(plot_run(exp, engine_name(), arguments.run))
