"""Write the page of an experiment's results: one HTML file that works from disk, without a network.

    python -m tools report experiments/demo.yaml
    python -m tools report experiments/demo.yaml --from docs/results/demo     # from published tables alone

writes results/<experiment>/report.html from runs.csv, summary.csv and what else is there: curves.csv, claims.csv, the
figures that `plot` drew, the tables of other verbs, the manifests of the runs. The page names what is missing.
"""

import shlex
from collections import Counter, defaultdict
from collections.abc import Callable
from pathlib import Path
from typing import Any

from tools import cli
from tools.common.errors import UserError
from tools.common.files import checksums, write_atomic, write_record
from tools.figures import style
from tools.page import content, provenance, template
from tools.planning.stages import FIGURES, PAGE, report_stage
from tools.planning.stale import note_stale_runs
from tools.protocol.experiment import Experiment, load
from tools.protocol.layout import experiment_name, results_folder
from tools.results.columns import (
    CLAIMS,
    CURVES,
    RUNS,
    SUMMARY,
    Row,
    condition_order,
    engine_name,
    read_csv,
    run_key,
    size_order,
)
from tools.results.tables import note_changed_tables, tables_of
from tools.stats.claim_places import are_of
from tools.training.outcome import FLAGS
from tools.verification.commands import Commands, with_keys

COLUMNS = (
    *("condition", "size", "direction", "seed", "accuracy", "best_accuracy", "best_iter", "loss"),
    *("seconds", "status"),
)
_COUNTED = {"target size": "size", "condition": "condition", "direction": "direction", "seed": "seed"}
FILTERS = ("condition", "size", "direction", "seed", "status")


def report(exp: Experiment, engine: str, tables: Path | None = None) -> bool:
    """Writes the page; returns False if it was complete already.

    `engine` is the engine's name (tools/training/engine.py). `tables` is a folder of published tables; without it, the
    experiment's own tables are used. Raises UserError if there are no tables, or those of another data set.
    """
    results = results_folder(exp, engine)
    tables = tables or results
    for name in (RUNS, SUMMARY):
        if not (tables / name).is_file():
            raise UserError(f"{tables / name}: not there; run `python -m tools summarize {exp.file}` first")
    rows = tables_of(exp, tables).runs
    stage = report_stage(results, tables)
    if stage.is_complete:
        return False
    inputs = stage.inputs({})
    stage.marker.unlink(missing_ok=True)
    values = _values(exp, engine, rows, results, tables)
    write_atomic(results / PAGE, template.render(values))
    write_record(stage.marker, {"inputs": inputs, "outputs": checksums(results, [PAGE])})
    return True


def _values(exp: Experiment, engine: str, rows: list[Row], results: Path, tables: Path) -> dict[str, Any]:
    """The values for the template, by name."""
    means = content.means(read_csv(tables / SUMMARY))
    own = tables == results
    exp = exp if own else _with_seeds_of(rows, exp)
    origin = provenance.summary(provenance.manifests_of(rows) if own else provenance.published_manifests(tables))
    runs, claims = content.runs(rows, results if own else None), content.claims(tables / CLAIMS)
    untested = ""
    if claims and not are_of(tables):
        given = [] if own else ["--from", str(tables)]
        claims, untested = {}, Commands(exp, engine, ".venv/bin/python").tools("claims", *given)
    return {
        "title": style.dataset_title(exp),
        "name": experiment_name(exp, engine),
        "summary": _summary(rows),
        "flagged": [run for run in runs if run["status"] != "ok"],
        "flags": FLAGS,
        "means": means,
        "best": _best(means),
        "size_colors": style.page_size_colors(len(means["sizes"])),
        "claims": claims,
        "verdicts": _verdicts(claims),
        "untested": untested,
        "figures": content.figures(results / FIGURES, tables),
        "left_out": content.left_out(results / FIGURES, tables),
        "tables": content.tables(tables),
        "runs": runs,
        "any_files": any(run["files"] for run in runs),
        "columns": COLUMNS,
        "filters": _filters(rows),
        "facts": provenance.facts(origin, rows),
        "settings": content.settings(exp),
        "file": exp.file,
        "commands": _commands(exp, engine, origin, rows, None if own else tables),
        "command": f"python -m tools report {exp.file}",
        "source": f"{tables}/",
        "data": {"means": means, "columns": COLUMNS, "order": _order(rows), "cells": _cells(runs)},
        "curves": content.curves(tables / CURVES),
    }


def _with_seeds_of(rows: list[Row], exp: Experiment) -> Experiment:
    """The experiment with the seeds of published runs: its file may name more, which have still to be trained."""
    seeds = sorted({row["seed"] for row in rows})
    if seeds == sorted(exp.seeds):
        return exp
    return load(exp.file, with_keys(exp.overrides, {"seeds"}, seeds=f"[{','.join(map(str, seeds))}]"))


def _summary(rows: list[Row]) -> str:
    """54 runs of 3 target sizes, 9 conditions, 2 directions, 1 seed, by caffe"""
    counts = {name: len({row[key] for row in rows}) for name, key in _COUNTED.items()}
    parts = [f"{count:,} {name}{'s' * (count != 1)}" for name, count in counts.items()]
    engines = ", ".join(sorted({str(row["engine"]) for row in rows}))
    return f"{len(rows):,} run{'s' * (len(rows) != 1)} of {', '.join(parts)}, by {engines}"


def _best(means: dict[str, Any]) -> set[str]:
    """The cells with the highest mean of their size."""
    best = set()
    for size in means["sizes"]:
        keys = [f"{size}/{condition}" for condition in means["conditions"]]
        measured = [key for key in keys if means["cells"].get(key, {}).get("accuracy") is not None]
        best |= {max(measured, key=lambda key: means["cells"][key]["accuracy"])} if measured else set()
    return best


def _verdicts(claims: dict[str, list[Row]]) -> dict[str, list[tuple[str, int]]]:
    """File of claims -> verdict and how many of its claims have it, the most frequent first."""
    return {name: Counter(row["verdict"] for row in rows).most_common() for name, rows in claims.items()}


def _filters(rows: list[Row]) -> dict[str, list]:
    """Column -> its values, for the columns that have more than one."""
    sorts: dict[str, Callable[[Any], Any]] = {"size": size_order, "condition": condition_order}
    values_of = {name: sorted({row[name] for row in rows}, key=sorts.get(name)) for name in FILTERS}
    return {name: values for name, values in values_of.items() if len(values) > 1}


def _order(rows: list[Row]) -> dict[str, list[str]]:
    """Column -> its values in order, for a column that is not sorted by number or alphabet."""
    return {"condition": sorted({row["condition"] for row in rows}, key=condition_order)}


def _cells(runs: list[Row]) -> dict[str, list[str]]:
    """size/condition -> the keys of its runs."""
    cells = defaultdict(list)
    for run in runs:
        cells[f"{run['size']}/{run['condition']}"].append(run["key"])
    return cells


def _commands(
    exp: Experiment, engine: str, origin: dict[str, Any] | None, rows: list[Row], published: Path | None
) -> list[tuple[str, str]]:
    """(what it does, the command) of the page's last section."""
    name = f"{exp.file.stem}-sweep" if exp.file.parent == Path("experiments") else None
    given = f" SET={shlex.quote(exp.overrides)}" if exp.overrides else ""
    verb = f" --set {shlex.quote(exp.overrides)}" if exp.overrides else ""
    caffe = "" if engine == "caffe" else f" CAFFE={engine}"
    before = "" if engine == "caffe" else f"CAFFE={engine} "
    tools = f"{before}.venv/bin/python -m tools"
    sweep = f"make {name}{given}{caffe}" if name else f"{tools} sweep {exp.file}{verb}"
    commit, count = origin["commits"][0] if origin else ("unknown", 0)
    commands = [("All of it: what is finished is kept, what is missing is trained.", sweep)]
    if commit != "unknown":
        of = "" if count == len(rows) else f" for {count:,} of the {len(rows):,} runs"
        commands.insert(0, (f"The pipeline as it was{of}.", f"git checkout {commit.rstrip('+')}"))
        commands.append(("One run.", f"{tools} run {exp.file} {run_key(rows[0])}{verb}"))
    source = f" --from {published}" if published else ""
    commands.append(
        (
            "The figures and this page.",
            f"{tools} plot {exp.file}{verb}{source}\n{tools} report {exp.file}{verb}{source}",
        )
    )
    return commands


def main(argv: list[str]) -> None:
    parser = cli.parser("report", __doc__)
    cli.add_from(parser)
    arguments = parser.parse_args(argv)
    exp = load(arguments.experiment, arguments.set)
    note_changed_tables(arguments.tables or results_folder(exp, engine_name()))
    written = report(exp, engine_name(), arguments.tables)
    print(f"{results_folder(exp, engine_name()) / PAGE}: {'written' if written else 'complete already'}")
    if arguments.tables is None:
        note_stale_runs(exp)
