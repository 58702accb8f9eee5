"""Transferability scores of the source net's features on each target set, and the measured accuracy.

    python -m tools scores experiments/demo-controls.yaml --images 2000

`caffe test` runs the source net over the target training set. For each selected SnT it prints the output of layer n (of
a convolution: the mean of each channel), and it prints the probabilities of the source classes.
tools/stats/transferability.py computes the scores from these; nothing is trained.

scores.csv in results/<experiment>/ has a row for each target set and condition SnT or FTall, with the scores of its
last copied layer. LEEP is about the source net as a whole, so it is in the rows of S7T and FTall only. If a set has
more than --images images, that many are scored: the first of its LMDB, which is shuffled. scores_correlation.csv has
Spearman's rank correlation of each score with the accuracy: over depths (the SnT of a target set; the mean of n sets),
or over target sets for a condition (from three sets on, with the p-value of a permutation test). A source net that has
diverged is left out, and a score that is not a number is blank.
"""

import hashlib
import math
from collections.abc import Callable
from itertools import groupby
from pathlib import Path

import numpy as np
from tabulate import tabulate

from caffeformat import prototxt
from caffeformat.caffeformat_pb2 import NetParameter, PoolingParameter, SolverParameter
from tools import cli
from tools.common.errors import UserError
from tools.common.files import load_json, read_json, write_atomic, write_json
from tools.common.stage import Record
from tools.nets.templates import render
from tools.protocol import layout
from tools.protocol.experiment import Experiment, load
from tools.protocol.heads import headline_of
from tools.protocol.layout import Run, results_folder, split_of
from tools.protocol.runs import condition_of, mean_of, runs_of, source_net_of
from tools.protocol.weighted_layers import Block, weighted_blocks
from tools.results.columns import CORRELATION_COLUMNS, CORRELATIONS, SCORE_COLUMNS, SCORES, Row, csv_text, row_of
from tools.results.ended_runs import run_order
from tools.stats import transferability
from tools.stats.rank_correlation import correlations
from tools.training.engine import Engine, find_engine
from tools.training.engine_outputs import layers_above, output_values
from tools.training.inputs import has_diverged, run_inputs, trained_weights
from tools.training.process import RunFailed

PROBABILITIES, FEATURES = "probabilities", "features"  # the added tops; features1 is what layer 1 gives to the next
MOST_IMAGES = 5000
OF_FEATURES = (transferability.logme, transferability.h_score, transferability.h_score_shrunk)


def scores(exp: Experiment, engine: Engine, most: int = MOST_IMAGES) -> tuple[list[Row], list[Row]]:
    """Scores every selected target set, writes both tables, and returns their rows.

    A set that was scored with the same inputs (scores.json has them) is not scored again. A set whose source net has
    diverged is left out. Raises UserError if no SnT or FTall is selected or the source net is not trained, RunFailed if
    the engine fails.
    """
    folder = results_folder(exp, engine.name)
    recorded = read_json(folder / "scores.json") or {}
    selected = sorted(filter(_is_scored, runs_of(exp, engine.name)), key=lambda run: (_set_key(run), run_order(run)))
    if not selected:
        raise exp.fault("conditions", ", ".join(exp.conditions), "scores are of SnT and FTall: name some")
    rows: list[Row] = []
    for key, group in groupby(selected, key=_set_key):
        runs = list(group)
        if has_diverged(source := source_net_of(exp, runs[0])):
            print(f"{key}: left out: its source net {source.folder} has diverged")
            continue
        recorded[key] = _score(exp, runs, engine, most, recorded.get(key), folder / "scores" / f"{key}.prototxt")
        write_json(folder / "scores.json", recorded)
        rows += [_row(run, recorded[key]) for run in runs]
    correlated = correlations(rows)
    write_atomic(folder / SCORES, csv_text(SCORE_COLUMNS, rows))
    write_atomic(folder / CORRELATIONS, csv_text(CORRELATION_COLUMNS, correlated))
    return rows, correlated


def _is_scored(run: Run) -> bool:
    condition = condition_of(run)
    whole = condition.origin == "source" and not condition.subset and not condition.retained
    return whole and (condition.frozen or condition.depth is None)


def _set_key(run: Run) -> str:
    return f"{run.direction}-{layout.size_name(run.size)}-seed{run.seed}"


def _score(exp: Experiment, runs: list[Run], engine: Engine, most: int, recorded: Record | None, model: Path) -> Record:
    """The scores of one target set, for the conditions of its `runs`; the `recorded` ones if nothing has changed."""
    run_inputs(exp, runs[0], engine)  # raises NotReady where the LMDB, the mean or the source net is missing
    packed = load_json(split_of(exp, runs[0].seed).train_lmdb(runs[0].target, runs[0].size) / "pack.json")
    weights, digest = trained_weights(source_net_of(exp, runs[0]))
    if not weights.exists():
        raise UserError(f"{weights}: gone (keep_models); the next sweep that needs it trains it again")
    images = min(most, packed["entries"])
    net, layers, label, batch = scoring_net(exp, runs)
    text = prototxt.to_text(net)
    inputs = {
        "net": hashlib.sha256(text.encode()).hexdigest(),
        "weights": digest,
        "train_list": packed["list_sha256"],
        "images": images,
        "engine": engine.version,
    }
    if recorded and recorded["inputs"] == inputs:
        return recorded
    write_atomic(model, text)
    names = [label, PROBABILITIES, *(f"{FEATURES}{n}" for n in layers)]
    values = output_values(engine, model, weights, -(-images // batch), names)
    if len(values[label]) < images or len(values[label]) % batch:
        raise RunFailed(f"{model}: {len(values[label])} labels of {images} images; caffe test must print one of each")
    arrays = {name: array.reshape(len(values[label]), -1)[:images] for name, array in values.items()}
    labels = arrays[label][:, 0]
    of_layers = {}
    for n, layer in layers.items():
        features = arrays[f"{FEATURES}{n}"]
        values_of_layer = {score.__name__: _score_of(score, features, labels) for score in OF_FEATURES}
        of_layers[str(n)] = {"layer": layer, "features": features.shape[1], **values_of_layer}
    leep = _score_of(transferability.leep, arrays[PROBABILITIES], labels)
    return {"inputs": inputs, "leep": leep, "layers": of_layers, "last": max(layers)}


def _score_of(score: Callable[[np.ndarray, np.ndarray], float], values: np.ndarray, labels: np.ndarray) -> float | None:
    """The score, rounded; None where it is not a number, or the values are not."""
    value = score(values, labels) if np.isfinite(values).all() else math.nan
    return round(value, 6) if math.isfinite(value) else None


def scoring_net(exp: Experiment, runs: list[Run]) -> tuple[NetParameter, dict[int, str], str, int]:
    """The source net in its TEST phase over a target set, with the features of the depths of `runs` as outputs.

    Returns the net, the name of the layer of each depth, the label's blob and the images of a batch.
    """
    source = source_net_of(exp, runs[0])
    file = source.folder / layout.NET
    rendered = render(exp, source)
    net = prototxt.parse(rendered.net, NetParameter(), str(file))
    solver = prototxt.parse(rendered.solver, SolverParameter(), str(file))
    blocks = weighted_blocks(net, file, solver)
    accuracy = headline_of(net, file, solver).accuracy
    logits, label = accuracy.bottom
    depths = sorted({condition_of(run).depth or len(blocks) - 1 for run in runs} | {len(blocks) - 1})
    tops = {n: blocks[n].main.bottom[0] for n in depths}
    cut = NetParameter(name=net.name, layer=layers_above(accuracy, net, solver))
    (data,) = (x for x in cut.layer if x.type == "Data")
    data.data_param.source = str(split_of(exp, runs[0].seed).train_lmdb(runs[0].target, runs[0].size))
    if data.transform_param.HasField("mean_file"):
        data.transform_param.mean_file = str(mean_of(exp, runs[0]))
    has_softmax = any(layer.type == "Softmax" and logits in layer.top for layer in cut.layer)
    kind = "Flatten" if has_softmax else "Softmax"
    cut.layer.add(name=PROBABILITIES, type=kind, bottom=[logits], top=[PROBABILITIES])
    for n, top in tops.items():
        _give_out(cut, blocks[n - 1], top, f"{FEATURES}{n}")
    return cut, {n: blocks[n - 1].main.name for n in depths}, label, data.data_param.batch_size


def _give_out(net: NetParameter, block: Block, bottom: str, top: str) -> None:
    """Adds an output for `bottom`, which other layers read: for a convolution, the mean of each channel."""
    layer = net.layer.add(name=top, bottom=[bottom], top=[top], type="Flatten")
    if block.main.type != "InnerProduct":
        layer.type = "Pooling"
        layer.pooling_param.pool = PoolingParameter.AVE
        layer.pooling_param.global_pooling = True


def _row(run: Run, scored: Record) -> Row:
    depth = condition_of(run).depth or scored["last"]
    manifest = read_json(run.manifest)
    return row_of(
        SCORE_COLUMNS,
        direction=run.direction,
        size=run.size,
        seed=run.seed,
        condition=run.condition,
        images=scored["inputs"]["images"],
        **scored["layers"][str(depth)],
        leep=scored["leep"] if depth == scored["last"] else None,
        accuracy=manifest["result"]["accuracy"] if manifest and manifest["result"]["status"] == "ok" else None,
    )


def report(rows: list[Row], correlated: list[Row]) -> str:
    """Both tables as text."""
    tables = ((SCORE_COLUMNS, rows), (CORRELATION_COLUMNS, correlated))
    return "\n\n".join(
        tabulate([[row[name] for name in columns] for row in table], list(columns), "plain", ".4f", missingval="-")
        for columns, table in tables
    )


def main(argv: list[str]) -> None:
    parser = cli.parser("scores", __doc__, {SCORES: SCORE_COLUMNS, CORRELATIONS: CORRELATION_COLUMNS})
    parser.add_argument(
        "--images", type=int, default=MOST_IMAGES, help="the most images of a target set; default: %(default)s"
    )
    arguments = parser.parse_args(argv)
    if arguments.images < 2:
        raise UserError(f"--images {arguments.images}: two images or more can be scored")
    exp, engine = load(arguments.experiment, arguments.set), find_engine()
    print(report(*scores(exp, engine, arguments.images)))
    print(f"{results_folder(exp, engine.name) / SCORES}, {CORRELATIONS}: written")
