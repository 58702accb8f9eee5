"""Transferability scores of the source net's features on each target set, beside the accuracy that was measured.

    python -m tools scores experiments/demo-controls.yaml [--images 5000]

`caffe test` runs the source net over the target training set, and prints what each layer n of a selected SnT gives to
the next (a convolution's channels averaged over the image) and the source classes' probabilities. Of these
tools/stats/transferability.py makes scores; nothing is trained for them.

scores.csv in results/<experiment>/: a row a target set and condition SnT or FTall, with the scores of its last copied
layer; LEEP, which is about the source net as a whole, is in the rows of S7T and FTall. Of a set of more than --images
images the first so many are scored: its LMDB is shuffled. scores_correlation.csv: Spearman's rank correlation of each
score with the accuracy, `against` the depth (among the SnT of a target set, the mean of n sets) or against a condition
(among n target sets, from three on, with the p value of a permutation test).
"""

import hashlib
from itertools import groupby
from pathlib import Path

from caffeformat import prototxt
from caffeformat.caffeformat_pb2 import TEST, NetParameter, PoolingParameter
from tools import cli
from tools.common.errors import UserError
from tools.common.files import read_json, write_atomic, write_json
from tools.nets.templates import headline_outputs, render
from tools.protocol import layout
from tools.protocol.experiment import Experiment, load
from tools.protocol.layout import Run, results_folder, split_of
from tools.protocol.runs import condition_of, mean_of, runs_of, source_run
from tools.protocol.weighted_layers import Block, weighted_blocks
from tools.results.columns import CORRELATION_COLUMNS, CORRELATIONS, SCORE_COLUMNS, SCORES, Row, csv_text, order
from tools.stats import transferability
from tools.training.engine import Engine, find
from tools.training.engine_outputs import layers_producing, output_values
from tools.training.inputs import run_inputs, source_weights
from tools.training.process import RunFailed

PROBABILITIES, FEATURES = "probabilities", "features"  # the added tops; features1 is what layer 1 gives to the next
MOST_IMAGES = 5000
OF_FEATURES = (transferability.logme, transferability.h_score, transferability.h_score_shrunk)


def scores(exp: Experiment, engine: Engine, most: int = MOST_IMAGES) -> tuple[list[Row], list[Row]]:
    """Scores every selected target set, writes both tables, and returns their rows.

    A set that was scored with the same inputs is not scored again (scores.json remembers). Raises UserError where no
    SnT or FTall is selected or the source net is not trained, RunFailed where the engine ends badly.
    """
    from tools.stats.rank_correlation import correlations  # takes a second: scipy

    folder = results_folder(exp, engine.name)
    known = read_json(folder / "scores.json") or {}
    selected = sorted(filter(_is_scored, runs_of(exp, engine.name)), key=lambda run: (_set_key(run), order(run)))
    if not selected:
        raise exp.fault("conditions", ", ".join(exp.conditions), "scores are of SnT and FTall: name some")
    rows = []
    for key, group in groupby(selected, key=_set_key):
        runs = list(group)
        known[key] = _score(exp, runs, engine, most, known.get(key), folder / "scores" / f"{key}.prototxt")
        write_json(folder / "scores.json", known)
        rows += [_row(run, known[key]) for run in runs]
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


def _score(exp: Experiment, runs: list[Run], engine: Engine, most: int, known: dict | None, model: Path) -> dict:
    """The scores of one target set by the conditions of its `runs`: those that are known, if nothing has changed."""
    packed = split_of(exp, runs[0].seed).train_lmdb(runs[0].target, runs[0].size) / "pack.json"
    run_inputs(exp, runs[0], engine)  # raises NotReady where the LMDB, the mean or the source net is missing
    weights, digest = source_weights(source_run(exp, runs[0]))
    if not weights.exists():
        raise UserError(f"{weights}: gone (keep_models); the next sweep that needs it trains it again")
    images = min(most, read_json(packed)["entries"])
    net, layers, label, batch = scoring_net(exp, runs)
    text = prototxt.to_text(net)
    inputs = {
        "net": hashlib.sha256(text.encode()).hexdigest(),
        "weights": digest,
        "train_list": read_json(packed)["list_sha256"],
        "images": images,
        "engine": engine.version,
    }
    if known and known["inputs"] == inputs:
        return known
    write_atomic(model, text)
    names = [label, PROBABILITIES, *(f"{FEATURES}{n}" for n in layers)]
    values = output_values(engine, model, weights, -(-images // batch), names)
    if len(values[label]) < images or len(values[label]) % batch:
        raise RunFailed(f"{model}: {len(values[label])} labels of {images} images; caffe test must print one of each")
    arrays = {name: array.reshape(len(values[label]), -1)[:images] for name, array in values.items()}
    labels = arrays[label][:, 0]
    whole = {"inputs": inputs, "leep": round(transferability.leep(arrays[PROBABILITIES], labels), 6), "layers": {}}
    for n, layer in layers.items():
        features = arrays[f"{FEATURES}{n}"]
        found = {score.__name__: round(score(features, labels), 6) for score in OF_FEATURES}
        whole["layers"][str(n)] = {"layer": layer, "features": features.shape[1], **found}
    return whole | {"last": max(layers)}


def scoring_net(exp: Experiment, runs: list[Run]) -> tuple[NetParameter, dict[int, str], str, int]:
    """The source net in its TEST phase over a target set, with the features of the depths of `runs` as outputs.

    Returns the net, the name of the layer of each depth, the label's blob and the images of a batch.
    """
    source = source_run(exp, runs[0])
    file = source.folder / layout.NET
    net = prototxt.parse(render(exp, source).net, NetParameter(), str(file))
    blocks = weighted_blocks(net, file)
    accuracy, _ = headline_outputs(net, file)
    logits, label = next(x for x in net.layer if x.type == "Accuracy" and x.top[:1] == [accuracy]).bottom
    depths = sorted({condition_of(run).depth or len(blocks) - 1 for run in runs} | {len(blocks) - 1})
    tops = {n: blocks[n].main.bottom[0] for n in depths}
    cut = NetParameter(name=net.name, layer=layers_producing({logits, label, *tops.values()}, net))
    (data,) = (x for x in cut.layer if x.type == "Data" and any(rule.phase == TEST for rule in x.include))
    data.data_param.source = str(split_of(exp, runs[0].seed).train_lmdb(runs[0].target, runs[0].size))
    if data.transform_param.HasField("mean_file"):
        data.transform_param.mean_file = str(mean_of(exp, runs[0]))
    cut.layer.add(name=PROBABILITIES, type="Softmax", bottom=[logits], top=[PROBABILITIES])
    for n, top in tops.items():
        _give_out(cut, blocks[n - 1], top, f"{FEATURES}{n}")
    return cut, {n: blocks[n - 1].main.name for n in depths}, label, data.data_param.batch_size


def _give_out(net: NetParameter, block: Block, bottom: str, top: str) -> None:
    """Makes `bottom`, which other layers use, an output: of a convolution each channel's mean."""
    layer = net.layer.add(name=top, bottom=[bottom], top=[top], type="Flatten")
    if block.main.type != "InnerProduct":
        layer.type = "Pooling"
        layer.pooling_param.pool = PoolingParameter.AVE
        layer.pooling_param.global_pooling = True


def _row(run: Run, found: dict) -> Row:
    depth = condition_of(run).depth or found["last"]
    manifest = read_json(run.manifest)
    ended = manifest and manifest["result"]["status"] == "ok"
    return {
        "direction": run.direction,
        "size": run.size,
        "seed": run.seed,
        "condition": run.condition,
        "images": found["inputs"]["images"],
        **found["layers"][str(depth)],
        "leep": found["leep"] if depth == found["last"] else None,
        "accuracy": manifest["result"]["accuracy"] if ended else None,
    }


def report(rows: list[Row], correlated: list[Row]) -> str:
    """Both tables for the eye."""

    def line(row: Row, columns: tuple[str, ...]) -> str:
        cells = ["-" if row[c] is None else f"{row[c]:.4f}" if isinstance(row[c], float) else row[c] for c in columns]
        return "".join(f"{cell:>{max(11, len(name) + 2)}}" for cell, name in zip(cells, columns, strict=True))

    parts = []
    for columns, table in ((SCORE_COLUMNS, rows), (CORRELATION_COLUMNS, correlated)):
        parts += [
            "".join(f"{name:>{max(11, len(name) + 2)}}" for name in columns),
            *(line(row, columns) for row in table),
        ]
    return "\n".join(parts)


def main(argv: list[str]) -> None:
    parser = cli.parser("scores", __doc__)
    parser.add_argument(
        "--images", type=int, default=MOST_IMAGES, help="the most images of a target set; default: %(default)s"
    )
    arguments = parser.parse_args(argv)
    if arguments.images < 2:
        raise UserError(f"--images {arguments.images}: two images or more can be scored")
    exp, engine = load(arguments.experiment, arguments.set), find()
    print(report(*scores(exp, engine, arguments.images)))
    print(f"{results_folder(exp, engine.name) / SCORES}, {CORRELATIONS}: written")
