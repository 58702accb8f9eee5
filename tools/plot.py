"""Draw the figures of an experiment from its tables, nets and LMDBs.

    python -m tools plot experiments/demo.yaml
    python -m tools plot experiments/demo.yaml --run A2B/n0060/S3T/seed20 'B2A/*/S3T/seed20'   # and learning curves
    python -m tools plot experiments/demo.yaml --layer conv5                                 # and t-SNE of its features
    python -m tools plot experiments/demo.yaml --from docs/results/demo                      # from published tables

writes into results/<experiment>/figures/, as PNG and PDF with the CSV of what they show: accuracy (thesis figures 6.1
and 6.2), by_size, gain, class_gains, controls, learning_curves of the source nets (5.4 and 5.5), samples (5.1), tsne
(5.2) and filters. tools/figures/ has one file for each.
"""

import hashlib
import re
from collections.abc import Callable
from fnmatch import fnmatch
from pathlib import Path
from types import ModuleType

from tools import cli
from tools.common.errors import UserError
from tools.common.files import checksums, write_atomic, write_record
from tools.common.workers import parallel_map
from tools.figures import NoData, accuracy, by_size, class_gains, controls, curves, filters, gain, samples, style, tsne
from tools.planning.stages import FIGURES, plot_stage
from tools.planning.stale import note_stale_runs
from tools.protocol.experiment import Experiment, load
from tools.protocol.layout import results_folder
from tools.results.columns import CLASSES, CURVES, RUNS, SUMMARY, Row, engine_name, read_csv
from tools.results.tables import note_changed_tables, tables_of

Figures = dict[ModuleType, Callable[[], object]]  # a module of tools/figures/ -> what draws its figure


def plot(exp: Experiment, engine: str, tables: Path | None = None) -> bool:
    """Draws every figure whose data exist, and prints why a figure is not drawn; returns False if all were complete.

    An earlier figure that the tables no longer give is removed. One of nets or images that are gone is kept, for it
    cannot be drawn again; but figures.json does not list it, so it is neither on the page nor published.
    `engine` is the engine's name (tools/training/engine.py). `tables` is a folder of published tables; without it, the
    experiment's own tables are used. Raises UserError if there are no tables yet, or those of another data set.
    """
    results = results_folder(exp, engine)
    tables = tables or results
    rows = _runs(exp, tables)
    stage = plot_stage(results, tables)
    if stage.is_complete:
        return False
    folder = results / FIGURES
    of_tables = _of_tables(exp, rows, tables, folder)
    figures = of_tables | (_of_models(exp, engine, rows, folder) if tables == results else _published(tables, folder))
    inputs = stage.inputs({})
    stage.marker.unlink(missing_ok=True)
    left_out = _draw_all(figures)
    captions = {module.NAME: module.CAPTION for module in figures if module.NAME not in left_out}
    for name in left_out.keys() & {module.NAME for module in of_tables}:
        for file in _files(folder, name):
            (folder / file).unlink()
    for name, why in left_out.items():
        kept = "; the earlier one stays here, and is neither on the page nor published" if _files(folder, name) else ""
        print(f"{folder / name}: not drawn: {why}{kept}")
    files = [file for name in captions for file in _files(folder, name)]
    made = {"inputs": inputs, "figures": captions, "left_out": left_out, "files": files}
    write_record(stage.marker, made | {"outputs": checksums(folder, files)})
    return True


def _draw_all(figures: Figures) -> dict[str, str]:
    """Draws the figures, each in a process of its own. Returns the names of those that lack data, and what they lack.

    The last ones come first, because t-SNE takes longest.
    """
    draw_of = {module.NAME: draw for module, draw in figures.items()}

    def lack(name: str) -> tuple[str, str]:
        try:
            draw_of[name]()
        except NoData as why:
            return name, str(why)
        return name, ""

    with style.house_style():
        lacks = dict(parallel_map(lack, [*reversed(draw_of)]))
    return {name: lacks[name] for name in draw_of if lacks[name]}


def _of_tables(exp: Experiment, rows: list[Row], tables: Path, folder: Path) -> Figures:
    """The figures that need tables only."""
    means = _table(exp, tables / SUMMARY)
    points, classes = (read_csv(tables / name) if (tables / name).is_file() else [] for name in (CURVES, CLASSES))
    return {
        accuracy: lambda: accuracy.draw(exp, rows, means, folder),
        by_size: lambda: by_size.draw(exp, rows, means, folder),
        gain: lambda: gain.draw(exp, rows, folder),
        controls: lambda: controls.draw(exp, rows, means, folder),
        class_gains: lambda: class_gains.draw(exp, classes, folder),
        curves: lambda: curves.draw(exp, curves.source_nets(exp, rows), points, folder),
    }


def _of_models(exp: Experiment, engine: str, rows: list[Row], folder: Path) -> Figures:
    """The figures that need images or nets."""
    return {
        samples: lambda: samples.draw(exp, folder),
        tsne: lambda: tsne.draw(exp, engine, folder),
        filters: lambda: filters.draw(exp, rows, folder),
    }


def _published(tables: Path, folder: Path) -> Figures:
    """The figures that need images or nets, copied from the published folder."""

    def copy(name: str) -> Callable[[], None]:
        def draw() -> None:
            places = [place for place in (tables, tables / FIGURES) if (place / f"{name}.png").is_file()]
            if not places:
                raise NoData(f"it needs images or nets, and {tables} has no {name}.png")
            for file in _files(places[0], name):
                write_atomic(folder / file, (places[0] / file).read_bytes())

        return draw

    return {module: copy(module.NAME) for module in (samples, tsne, filters)}


def _files(folder: Path, name: str) -> list[str]:
    """The names of a figure's files in `folder`."""
    return [f"{name}.{kind}" for kind in ("png", "pdf", "csv") if (folder / f"{name}.{kind}").is_file()]


def plot_runs(exp: Experiment, engine: str, patterns: list[str], tables: Path | None = None) -> Path:
    """Draws the learning curves of the runs whose keys match `patterns`, and returns the PNG.

    Raises UserError if a pattern matches no run, or a run has no curves.
    """
    results = results_folder(exp, engine)
    tables = tables or results
    rows = _chosen(tables / RUNS, _runs(exp, tables), patterns)
    points = _table(exp, tables / CURVES)
    name = f"{curves.NAME}-{re.sub(r'[^A-Za-z0-9_+-]+', '-', '_'.join(patterns).replace('*', 'all'))}"
    if len(name) > 120:  # the length of a file name is limited
        name = f"{curves.NAME}-{hashlib.sha256(name.encode()).hexdigest()[:12]}"
    try:
        with style.house_style():
            curves.draw(exp, curves.in_legend_order(rows), points, results / FIGURES, name)
    except NoData as why:
        raise UserError(f"{' '.join(patterns)}: no learning curves: {why}") from None
    return results / FIGURES / f"{name}.png"


def _chosen(table: Path, rows: list[Row], patterns: list[str]) -> list[Row]:
    """The rows whose key, or folder, matches one of `patterns`. Raises UserError for one that matches none."""
    chosen: list[Row] = []
    for pattern in patterns:
        matching = [row for row in rows if fnmatch(f"/{row['run']}", f"*/{pattern.strip('/')}")]
        if not matching:
            raise UserError(
                f"{table}: no run is called {pattern!r}; give one as in A2B/n0300/S3T/seed0, or */S3T/seed0"
            )
        chosen += [row for row in matching if row not in chosen]
    return chosen


def _runs(exp: Experiment, tables: Path) -> list[Row]:
    _check_table(exp, tables / RUNS)
    return tables_of(exp, tables).runs


def _table(exp: Experiment, path: Path) -> list[Row]:
    _check_table(exp, path)
    return read_csv(path)


def _check_table(exp: Experiment, path: Path) -> None:
    if not path.is_file():
        raise UserError(f"{path}: not there yet; run `python -m tools summarize {exp.file}` first")


def main(argv: list[str]) -> None:
    parser = cli.parser("plot", __doc__)
    parser.add_argument("--run", metavar="KEY", nargs="+", help="draw these runs' learning curves, too; * matches any")
    parser.add_argument("--layer", metavar="NAME", help="draw t-SNE of this layer's features, too")
    cli.add_from(parser)
    arguments = parser.parse_args(argv)
    exp = load(arguments.experiment, arguments.set)
    note_changed_tables(arguments.tables or results_folder(exp, engine_name()))
    drawn = plot(exp, engine_name(), arguments.tables)
    folder = results_folder(exp, engine_name()) / FIGURES
    print(f"{folder}/: {'drawn' if drawn else 'complete already'}")
    if arguments.tables is None:
        note_stale_runs(exp)
    if arguments.run:
        print(plot_runs(exp, engine_name(), arguments.run, arguments.tables))
    if arguments.layer:
        print(_plot_layer(exp, arguments.layer, folder))


def _plot_layer(exp: Experiment, layer: str, folder: Path) -> Path:
    try:
        with style.house_style():
            return tsne.draw(exp, engine_name(), folder, layer)
    except NoData as why:
        raise UserError(f"{folder / tsne.NAME}: not drawn: {why}") from None
