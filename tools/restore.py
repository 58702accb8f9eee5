"""Put published runs back into models/, so that a sweep continues from them on another machine, or after a clean-up.

    python -m tools restore experiments/demo.yaml
    python -m tools restore experiments/demo.yaml --from docs/results/demo

needs what `publish` wrote (manifests, predictions, learning curves), and the data set packed: a run counts as done only
if its manifest names the inputs that it would have here. Nets are not published. If a run has still to copy from a
source net, the next sweep trains that net again, and says whether it is the same, byte by byte.
"""

from collections import defaultdict
from pathlib import Path

from tools import cli
from tools.common.errors import UserError
from tools.common.files import read_record, write_atomic, write_json
from tools.planning.state import make_plan
from tools.protocol.experiment import Experiment, load
from tools.protocol.layout import Run, experiment_name, results_folder
from tools.results.columns import (
    CLASS_IDS,
    CURVE_COLUMNS,
    CURVES,
    MANIFESTS,
    PREDICTIONS,
    RESULT_COLUMNS,
    RUNS,
    classes_key,
    csv_text,
    label_key,
    run_key,
    with_columns,
)
from tools.results.ended_runs import run_of
from tools.results.tables import PUBLISHED, Tables, note_changed_tables, npz_bytes, read_manifests
from tools.training.engine import Engine, engine_of

_SHOWN = 20  # faults of one folder


def restore(exp: Experiment, engine: Engine, folder: Path) -> list[Run]:
    """Writes the folder of each published run that has none, and returns these runs.

    Raises UserError if `folder` has no published results, or those of another experiment or engine, if its manifests
    are not those that its tables tell of, or if data are missing.
    """
    manifests, tables = _manifests(exp, engine, folder), Tables(folder)
    _check_against_tables(folder, {run.key: manifest for run, manifest in manifests.items()}, tables)
    if not make_plan(exp, engine).stages["mean"]:
        raise UserError(f"{exp.file}: its data are not packed; run `python -m tools` fetch, split, pack and mean first")
    curves = defaultdict(list)
    for row in tables.curves:
        curves[row["run"]].append(row)
    restored = []
    for run, manifest in manifests.items():
        if run.manifest.exists() or run.stale_manifest.exists():
            continue
        write_atomic(run.folder / CURVES, csv_text(CURVE_COLUMNS, with_columns(CURVE_COLUMNS, curves[run.key])))
        if run.key in tables.predictions:
            arrays = {"label": tables.predictions[label_key(run.key)], "predicted": tables.predictions[run.key]}
            write_atomic(run.folder / PREDICTIONS, npz_bytes(arrays))
        if classes_key(run.key) in tables.predictions:  # not in the .npz, whose checksum is in the manifest
            write_json(run.folder / CLASS_IDS, tables.predictions[classes_key(run.key)].tolist())
        write_json(run.manifest, manifest)
        restored.append(run)
    return restored


def _manifests(exp: Experiment, engine: Engine, folder: Path) -> dict[Run, dict]:
    path, name = folder / MANIFESTS, experiment_name(exp, engine.name)
    if not path.is_file():
        raise UserError(f"{path}: not there; --from names a folder that `python -m tools publish` wrote")
    manifests = {}
    for number, manifest in enumerate(read_manifests(path), 1):
        run = run_of(manifest["experiment"], manifest["run"])
        if run is None or run.experiment != name:
            other = manifest["experiment"]
            raise UserError(f"{path}:{number}: a run of {other}, not of {name}; CAFFE names the engine")
        if run in manifests:
            raise UserError(f"{path}:{number}: {run.key} is there a second time; publish it again")
        manifests[run] = manifest
    return manifests


def _check_against_tables(folder: Path, manifests: dict[str, dict], tables: Tables) -> None:
    """Raises UserError where manifests.jsonl, runs.csv, predictions.npz and summary.json do not tell of the same runs.

    manifests: run key -> manifest. A run that failed has a row and no manifest.
    """
    faults = []
    rows = {run_key(row): row for row in tables.runs}
    record = read_record(folder / "summary.json", runs=dict, tables=dict) or {"runs": {}, "tables": {}}
    faults += [f"{folder / name}: not there" for name in record["tables"] if not (folder / name).is_file()]
    faults += [
        f"{folder / RUNS}: no row of {key}, which summary.json names" for key in sorted(record["runs"].keys() - rows)
    ]
    for key in sorted(manifests.keys() - rows.keys()):
        faults.append(f"{folder / RUNS}: no row of {key}, which has a manifest")
    for key, row in rows.items():
        if row["status"] == "failed":
            continue
        if key not in manifests:
            faults.append(f"{folder / MANIFESTS}: no manifest of {key}, which {RUNS} has")
            continue
        result = manifests[key].get("result") or {}
        for name in ("status", *RESULT_COLUMNS):
            there, here = row.get(name), result.get(name)
            if name in row and there != here and not (there != there and here != here):  # NaN is not equal to itself
                faults.append(f"{folder / MANIFESTS}: {key} has {name} {here}, in {RUNS} it is {there}")
        if manifests[key].get("predictions") and key not in tables.predictions:
            faults.append(f"{folder / PREDICTIONS}: no predictions of {key}, whose manifest names them")
    if faults:
        more = [f"and {len(faults) - _SHOWN:,} more faults"] if len(faults) > _SHOWN else []
        raise UserError("\n".join([*faults[:_SHOWN], *more]) + "; publish it again, or take an unchanged copy")


def main(argv: list[str]) -> None:
    parser = cli.parser("restore", __doc__)
    cli.add_from(parser)
    arguments = parser.parse_args(argv)
    exp = load(arguments.experiment, arguments.set)
    engine = engine_of(exp)
    folder = arguments.tables or PUBLISHED / results_folder(exp, engine.name).name
    note_changed_tables(folder)
    restored = restore(exp, engine, folder)
    print(f"models/{experiment_name(exp, engine.name)}/: {len(restored)} runs restored from {folder}/")
