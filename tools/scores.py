"""Transferability scores of the source net's features on each target set, and the measured accuracy.

    python -m tools scores experiments/demo-controls.yaml --images 2000

`caffe test` runs the source net over the target training set. For each selected SnT it prints the output of layer n (of
a convolution: the mean of each channel), and it prints the probabilities of the source classes.
tools/stats/transferability.py and probe.py compute the scores from these. No net is trained. The probe is a linear
classifier on the features, scored on V_target. cka says how alike these features are to those of `base`, if that was
trained.

scores.csv in results/<experiment>/ has a row for each target set and condition SnT or FTall, with the scores of its
last copied layer. LEEP is about the source net as a whole, so it is in the rows of S7T and FTall only. If a set has
more than --images images, that many are scored: the first of its LMDB, which is shuffled. scores_correlation.csv has
Spearman's rank correlation of each score with the accuracy: over depths (the SnT of a target set; the mean of n sets,
with an interval over the seeds), or over target sets for a condition (from three sets on, with the p-value of a
permutation test). A source net that has diverged is left out, and a score that is not a number is blank.
"""

import math
from collections.abc import Callable
from dataclasses import replace
from itertools import groupby
from pathlib import Path

import numpy as np
from tabulate import tabulate

from tools import cli
from tools.common.errors import UserError
from tools.common.files import checksums, load_json, lock_shared, read_json, write_atomic, write_json
from tools.common.stage import Record
from tools.protocol import layout
from tools.protocol.experiment import Experiment, load
from tools.protocol.layout import Run, lmdb_users, results_folder, split_of
from tools.protocol.runs import condition_of, mean_of, runs_of, source_net_of, train_set
from tools.results.columns import CORRELATION_COLUMNS, CORRELATIONS, SCORE_COLUMNS, SCORES, Row, csv_text, row_of
from tools.results.ended_runs import run_order
from tools.stats import transferability
from tools.stats.probe import linear_cka, probe
from tools.stats.rank_correlation import correlations
from tools.training.engine import Engine, engine_of
from tools.training.inputs import check_lmdbs, has_diverged, run_inputs, trained_weights
from tools.training.set_features import features_net
from tools.training.used import checked_weights

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
    recorded.pop("outputs", None)  # until both tables are there again
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
    outputs = {"outputs": checksums(folder, [SCORES, CORRELATIONS])}  # beside the sets, whose keys have a direction
    write_json(folder / "scores.json", recorded | outputs)
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
    split, (half, size) = split_of(exp, runs[0].seed), train_set(exp, runs[0])
    weights, digest = trained_weights(source_net_of(exp, runs[0]))
    if not weights.exists():
        raise UserError(f"{weights}: gone (keep_models); the next sweep that needs it trains it again")
    base, base_digest = _base(runs[0])
    depths = {depth for run in runs if (depth := condition_of(run).depth)}
    lmdbs = split.train_lmdb(half, size), split.val_lmdb(half)
    packed = [load_json(lmdb / "pack.json") for lmdb in lmdbs]
    images, val_images = (min(most, record["entries"]) for record in packed)
    source, mean = source_net_of(exp, runs[0]), mean_of(exp, runs[0])
    nets = [features_net(exp, source, depths, lmdb, mean) for lmdb in lmdbs]
    inputs = {
        "net": nets[0].sha256,
        "weights": digest,
        "base": base_digest,
        "train_list": packed[0]["list_sha256"],
        "val_list": packed[1]["list_sha256"],
        "images": images,
        "val_images": val_images,
        "engine": engine.version,
    }
    if recorded and recorded["inputs"] == inputs:
        return recorded
    for net in (source, *([replace(runs[0], condition="base")] if base else [])):
        checked_weights(exp, net)
    check_lmdbs(exp, runs[0])
    on_train = nets[0].features(engine, model, weights, images)
    on_val = nets[1].features(engine, model.with_name(f"{model.stem}-val.prototxt"), weights, val_images)
    of_base: dict[int, np.ndarray] = {}
    if base:
        base_net = features_net(exp, replace(runs[0], condition="base"), depths, lmdbs[1], mean)
        of_base = base_net.features(engine, model.with_name(f"{model.stem}-base.prototxt"), base, val_images).of_layer
    of_layers = {}
    for n, layer in nets[0].layers.items():
        features, val_features = on_train.of_layer[n], on_val.of_layer[n]
        values = {score.__name__: _score_of(score, features, on_train.labels) for score in OF_FEATURES}
        values["probe"] = _score_of(probe, features, on_train.labels, val_features, on_val.labels)
        values["cka"] = _score_of(linear_cka, val_features, of_base[n]) if n in of_base else None
        of_layers[str(n)] = {"layer": layer, "features": features.shape[1], **values}
    leep = _score_of(transferability.leep, on_train.probabilities, on_train.labels)
    return {"inputs": inputs, "leep": leep, "layers": of_layers, "last": max(nets[0].layers)}


def _base(run: Run) -> tuple[Path | None, str | None]:
    """The net of `base` on the run's target set and its checksum; (None, None) if it is not there or has diverged."""
    base = replace(run, condition="base")
    if not base.manifest.exists() or has_diverged(base):
        return None, None
    weights, digest = trained_weights(base)
    return (weights, digest) if weights.exists() else (None, None)


def _score_of(score: Callable[..., float], *values: np.ndarray) -> float | None:
    """The score, rounded; None where it is not a number, or the values are not."""
    value = score(*values) if all(np.isfinite(array).all() for array in values) else math.nan
    return round(value, 6) if math.isfinite(value) else None


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
    exp = load(arguments.experiment, arguments.set)
    engine = engine_of(exp)
    with lock_shared(lmdb_users(exp)):
        print(report(*scores(exp, engine, arguments.images)))
    print(f"{results_folder(exp, engine.name) / SCORES}, {CORRELATIONS}: written")
