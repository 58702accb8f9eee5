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
from tools.common.files import write_atomic, write_json
from tools.planning.state import make_plan
from tools.protocol.experiment import Experiment, load
from tools.protocol.layout import Run, experiment_name, results_folder
from tools.results.columns import (
    CLASS_IDS,
    CURVE_COLUMNS,
    CURVES,
    MANIFESTS,
    PREDICTIONS,
    classes_key,
    csv_text,
    label_key,
    with_columns,
)
from tools.results.ended_runs import run_of
from tools.results.tables import PUBLISHED, Tables, note_changed_tables, npz_bytes, read_manifests
from tools.training.engine import Engine, engine_of


def restore(exp: Experiment, engine: Engine, folder: Path) -> list[Run]:
    """Writes the folder of each published run that has none, and returns these runs.

    Raises UserError if `folder` has no published results, or those of another experiment or engine, or if data are
    missing.
    """
    manifests = _manifests(exp, engine, folder)
    if not make_plan(exp, engine).stages["mean"]:
        raise UserError(f"{exp.file}: its data are not packed; run `python -m tools` fetch, split, pack and mean first")
    tables, curves = Tables(folder), defaultdict(list)
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
        manifests[run] = manifest
    return manifests


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
