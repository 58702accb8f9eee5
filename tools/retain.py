"""What target nets have kept of the source task: retention.csv (the thesis' future work, section 7.1).

    python -m tools retain experiments/demo-controls.yaml

Two scores on V_source for every selected, finished run that began with layers of the source net:

own_fc8   its layers 1..7 under the source net's own classifier: how much of the source task they still do as they
          are. With seven frozen layers it is the source net's accuracy itself.
new_fc8   its layers 1..7 frozen, under a fresh classifier trained on N_source: how much of it they can still do. This
          is the run X-retain, a training like any other (tools/protocol/conditions.py), which this verb trains if
          it is not there. Named among the conditions (FTall-retain, base-retain), it is one of the sweep's.

retention.csv in results/<experiment>/ has these two, source_accuracy (of the source net on V_source) and
target_accuracy (of the run on V_target). own_fc8 is blank where the net has no layer of the source net (base-retain),
new_fc8 where X-retain has diverged. A run that has diverged, or whose source net has, is left out.
"""

from pathlib import Path
from statistics import fmean

from caffeformat import prototxt
from caffeformat.blobs import caffemodel_bytes, read_caffemodel
from caffeformat.caffeformat_pb2 import NetParameter, SolverParameter
from tools import cli
from tools.common.errors import UserError
from tools.common.files import checksums, read_json, write_atomic, write_json, write_record
from tools.common.stage import Record
from tools.nets.templates import Rendered, render
from tools.protocol import layout
from tools.protocol.experiment import Experiment
from tools.protocol.layout import Run, results_folder
from tools.protocol.runs import condition_of, retain_run, runs_of, source_net_of, source_run
from tools.results.columns import RETENTION, RETENTION_COLUMNS, Row, csv_text, row_of
from tools.results.ended_runs import run_order
from tools.run import run_one
from tools.training.engine import Engine, engine_of
from tools.training.engine_outputs import layers_producing, output_values
from tools.training.inputs import has_diverged, run_inputs, trained_weights
from tools.training.process import RunFailed
from tools.training.used import checked_weights

OWN = "own_fc8"
RECORD = "retention.json"  # the checksum of retention.csv


def retain(exp: Experiment, engine: Engine) -> list[Row]:
    """Trains and scores what is missing, writes retention.csv, and returns its rows.

    A run that has diverged, or whose source net has, is left out: of outputs that are not numbers BVLC Caffe says that
    all are right. Raises UserError if there is no run to score, and the errors of the trainings.
    """
    rows, any_diverged = [], False
    for run in sorted(_scored(exp, engine), key=run_order):
        manifest = read_json(run.manifest)
        if diverged := _diverged(exp, run):
            print(f"{run.folder}: left out: {diverged}")
            any_diverged = True
        elif manifest is None or not (run.folder / manifest["model"]["file"]).exists():
            reason = "its caffemodel is gone (keep_models)" if manifest else "not trained yet"
            print(f"{run.folder}: left out: {reason}")
        else:
            rows.append(_row(exp, run, engine, manifest))
            print(_line(rows[-1]), flush=True)
    if not rows and not any_diverged:
        raise UserError(f"{exp.file}: no run to score; run `python -m tools sweep {exp.file}` first")
    folder = results_folder(exp, engine.name)
    (folder / RECORD).unlink(missing_ok=True)
    write_atomic(folder / RETENTION, csv_text(RETENTION_COLUMNS, rows))
    write_record(folder / RECORD, {"outputs": checksums(folder, [RETENTION])})
    return rows


def _scored(exp: Experiment, engine: Engine) -> set[Run]:
    """The runs that copied from the source net, and those whose X-retain is selected."""
    scored = set()
    for run in runs_of(exp, engine.name):
        condition, source = condition_of(run), source_run(exp, run)
        if condition.retained and source:
            scored.add(source)
        elif condition.origin == "source":
            scored.add(run)
    return scored


def _diverged(exp: Experiment, run: Run) -> str | None:
    """What has diverged: the run or its source net; None if neither has."""
    if has_diverged(run):
        return "it has diverged"
    source = source_net_of(exp, run)
    return f"its source net {source.folder} has diverged" if has_diverged(source) else None


def _row(exp: Experiment, run: Run, engine: Engine, manifest: Record) -> Row:
    retained = retain_run(run)
    copied = condition_of(run).origin == "source"
    source = read_json(source_net_of(exp, run).manifest)
    result = run_one(exp, retained, engine)["result"]
    if result["status"] == "diverged":
        print(f"{run.folder}: new_fc8 is blank: {retained.folder} has diverged")
    return row_of(
        RETENTION_COLUMNS,
        direction=run.direction,
        size=run.size,
        condition=run.condition,
        seed=run.seed,
        source_accuracy=source["result"]["accuracy"] if source else None,
        own_fc8=own_classifier(exp, run, retained, engine) if copied else None,
        new_fc8=None if result["status"] == "diverged" else result["accuracy"],
        target_accuracy=manifest["result"]["accuracy"],
        run=str(run.folder),
    )


def own_classifier(exp: Experiment, run: Run, retained: Run, engine: Engine) -> float:
    """The accuracy on V_source of the run's layers under the source net's last one; kept in the run's own_fc8.json."""
    rendered = render(exp, retained)
    inputs = run_inputs(exp, retained, engine) | {"source": trained_weights(source_net_of(exp, run))[1]}
    record = read_json(run.folder / f"{OWN}.json")
    if isinstance(record, dict) and record.get("inputs") == inputs:
        return float(record["accuracy"])
    weights, source = (checked_weights(exp, net)[0] for net in (run, source_net_of(exp, run)))
    model, joined = (run.folder / f"{OWN}.{kind}" for kind in ("prototxt", "caffemodel"))
    net = prototxt.parse(rendered.net, NetParameter(), str(model))
    solver = prototxt.parse(rendered.solver, SolverParameter(), str(model))
    write_atomic(
        model, prototxt.to_text(NetParameter(name=net.name, layer=layers_producing({rendered.accuracy}, net, solver)))
    )
    write_atomic(joined, _joined(exp, run, rendered, weights, source))
    (batches,) = solver.test_iter
    try:
        accuracies = output_values(engine, model, joined, batches, [rendered.accuracy])[rendered.accuracy]
    finally:
        joined.unlink()
    if len(accuracies) != batches:
        raise RunFailed(f"{model}: {engine.name} printed {len(accuracies)} accuracies of {batches} batches")
    accuracy = round(fmean(accuracies.tolist()), 6)
    write_json(run.folder / f"{OWN}.json", {"accuracy": accuracy, "inputs": inputs})
    return accuracy


def _joined(exp: Experiment, run: Run, rendered: Rendered, weights: Path, source: Path) -> bytes:
    """A caffemodel of the run's layers and the source net's last layer, under its name in `rendered`."""
    ours, theirs = read_caffemodel(weights), read_caffemodel(source)
    names = {row.name: row.layer for row in render(exp, run).plan}  # of the run -> of the source net
    last = {row.name: theirs[names[row.layer]] for row in rendered.plan if not row.copied}
    return caffemodel_bytes(ours | last)


def _line(row: Row) -> str:
    own = "" if row[OWN] is None else f"{row[OWN]:.4f} under the source net's fc8, "
    what = f"{row['direction']}/{layout.size_name(row['size'])}/{row['condition']}/seed{row['seed']}"
    new, source = ("not known" if row[name] is None else f"{row[name]:.4f}" for name in ("new_fc8", "source_accuracy"))
    return f"{what}: on V_source {own}{new} under a fresh one; the source net {source}"


def main(argv: list[str]) -> None:
    exp = cli.experiment("retain", __doc__, argv, {RETENTION: RETENTION_COLUMNS})
    engine = engine_of(exp)
    rows = retain(exp, engine)
    print(f"{results_folder(exp, engine.name) / RETENTION}: {len(rows)} runs")
