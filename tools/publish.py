"""Copy the results of an experiment into docs/results/, whole: its tables, figures and manifests, without the models.

    python -m tools publish experiments/demo.yaml
    python -m tools publish experiments/demo.yaml --to ../published/demo

Claims, figures and the page can be made again from it alone:

    python -m tools claims experiments/demo.yaml --from docs/results/demo

manifests.jsonl has one manifest per line, of every run: inputs with checksums, engine, commit, proofs, result. The
figure of samples is left out where the data set's card says `publish_images: false`: it shows images of the data set.
"""

import contextlib
import json
import os
import re
import shutil
from pathlib import Path
from typing import Any

from tools import cli
from tools.common.errors import UserError
from tools.common.files import load_json, new_folder, read_record, sha256, with_checksum, write_json
from tools.planning.stages import (
    FIGURES,
    OTHER_TABLES,
    TABLES,
    claims_stage,
    plot_stage,
    report_stage,
    summarize_stage,
)
from tools.protocol.experiment import Experiment, load
from tools.protocol.layout import Run, experiment_name, results_folder
from tools.protocol.register import card
from tools.results.columns import CLAIMS, MANIFESTS, RUNS, engine_name
from tools.results.ended_runs import runs_on_disk
from tools.results.tables import PUBLISHED
from tools.stats.claim_places import default_places
from tools.verification.result_files import OTHER

_PATH = re.compile(r"""(^|\s)path=("[^"]*"|'[^']*'|\S+)""")
COPIED = (*TABLES, CLAIMS, *OTHER_TABLES, "summary.json", "report.json")
RECORD = "figures.json"
_SAMPLES = "samples"  # the figure that shows images of the data set
OWN = (*COPIED, MANIFESTS, FIGURES)  # these are replaced


def publish(exp: Experiment, to: Path | None = None) -> Path:
    """Replaces docs/results/<experiment>/, or `to`, by rename. Other files there (a README.md) are kept.

    Of the figures, those that figures.json lists are published. Prints which files figures/ there loses. Raises
    UserError if the tables do not match the runs, or the claims or figures do not match the tables, or if the folder
    has runs of another experiment, or more of this one than there are now.
    """
    results = results_folder(exp, engine_name())
    runs = _checked_runs(exp, results)
    target = to or PUBLISHED / results.name
    before = list(target.iterdir()) if target.is_dir() else []
    if before and not (target / MANIFESTS).is_file():
        raise UserError(f"{target}: holds other things than a publication (no {MANIFESTS}); name a folder of its own")
    if before:
        _check_replaced(exp, target, {f"{run.experiment}/{run.key}" for run in runs})
    with new_folder(Path(os.path.realpath(target))) as folder:  # a link stays, and leads to it
        for path in before:
            if path.name not in OWN:
                (shutil.copytree if path.is_dir() else shutil.copy2)(path, folder / path.name)
        has_page = report_stage(results, results).is_complete  # else report.json has the checksums of other files
        for name in COPIED:
            if (results / name).is_file() and (name != "report.json" or has_page):
                shutil.copy2(results / name, folder / name)
        if (results / FIGURES).is_dir():
            _copy_figures(exp, results / FIGURES, folder / FIGURES)
        if (folder / "report.json").is_file():
            write_json(folder / "report.json", _with_figures(load_json(folder / "report.json"), folder / FIGURES))
        lines = [json.dumps(_portable(load_json(run.manifest)), sort_keys=True) for run in runs]
        (folder / MANIFESTS).write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")
        figures = target / FIGURES
        if lost := sorted(path.name for path in figures.glob("*") if not (folder / FIGURES / path.name).exists()):
            print(f"{figures}/: no longer there, for {results / FIGURES}/ does not list them: {', '.join(lost)}")
    return target


def _checked_runs(exp: Experiment, results: Path) -> list[Run]:
    """The finished runs. Raises UserError if the tables, claims and figures in `results` were made from others."""
    engine = engine_name()
    tables = summarize_stage(exp, engine)
    record = tables.record
    if record is None or not (results / RUNS).is_file():
        raise UserError(f"{results / RUNS}: not there yet; run `python -m tools sweep {exp.file}` first")
    runs = [run for run in runs_on_disk(experiment_name(exp, engine)) if run.manifest.exists()]
    for run in runs:
        if record["runs"].get(run.key) != sha256(run.manifest):
            raise UserError(
                f"{run.manifest}: not as {results / RUNS} tells of it; run `python -m tools summarize {exp.file}` first"
            )
    again = f"run `python -m tools {{}} {exp.file}` first".format
    if not tables.is_complete:
        raise UserError(f"{results / RUNS}: a run that it tells of is gone, or a table changed; {again('summarize')}")
    if (results / CLAIMS).is_file() and not claims_stage(exp, engine, default_places(exp, engine)).is_complete:
        raise UserError(f"{results / CLAIMS}: not tested on {results / RUNS} as it is; {again('claims')}")
    if (results / FIGURES).is_dir() and not plot_stage(results, results).is_complete:
        raise UserError(f"{results / FIGURES}/: not drawn from {results / RUNS} as it is; {again('plot')}")
    for name, (verb, marker) in OTHER.items():
        outputs = (read_record(results / marker, outputs=dict) or {"outputs": {}})["outputs"]
        if (results / name).is_file() and outputs.get(name) != sha256(results / name):
            raise UserError(f"{results / name}: not the table that {results / marker} names; {again(verb)}")
    return runs


def _check_replaced(exp: Experiment, target: Path, runs: set[str]) -> None:
    """Raises UserError if a run that is published in `target` is not among `runs` (experiment/A2B/n0300/S3T/seed0)."""
    published = set()
    for line in (target / MANIFESTS).read_text(encoding="utf-8", errors="replace").splitlines():
        with contextlib.suppress(ValueError, KeyError, TypeError):  # a damaged line is replaced: `verify` says so
            manifest = json.loads(line)
            published.add(f"{manifest['experiment']}/{manifest['run']}")
    name = experiment_name(exp, engine_name())
    if others := {key.partition("/")[0] for key in published} - {name}:
        raise UserError(f"{target}: has the runs of {', '.join(sorted(others))}, not of {name}; name another folder")
    if lost := sorted(published - runs):
        named = ", ".join(lost[:3]) + (f" and {len(lost) - 3} more" if lost[3:] else "")
        raise UserError(
            f"{target}: {len(lost)} of its runs are not in models/ and would be lost: {named}; `python -m tools "
            f"restore {exp.file} --from {target}` brings them back; or name another folder with --to, or remove "
            f"{target} to publish fewer"
        )


def _copy_figures(exp: Experiment, drawn: Path, to: Path) -> None:
    """figures.json and the files that it lists. Both without the samples, where the data set's card says so."""
    record = load_json(drawn / RECORD)
    if _SAMPLES in record["figures"] and not card(exp.dataset).publish_images:
        record = without_figure(record, _SAMPLES, f"images of {exp.dataset} are not published")
        print(f"{drawn / _SAMPLES}: left out: {record['left_out'][_SAMPLES]} (data/cards/{exp.dataset}.yaml)")
    write_json(to / RECORD, record)
    for name in record["files"]:
        shutil.copy2(drawn / name, to / name)


def without_figure(record: dict[str, Any], figure: str, why: str) -> dict[str, Any]:
    """What figures.json says, as if `figure` had not been drawn, and why."""
    rest = {**record, "left_out": {**record["left_out"], figure: why}}
    rest["files"] = [name for name in record["files"] if Path(name).stem != figure]
    for key in ("figures", "outputs"):
        rest[key] = {name: value for name, value in record.get(key, {}).items() if Path(name).stem != figure}
    return with_checksum(rest)


def _with_figures(report: dict[str, Any], figures: Path) -> dict[str, Any]:
    """What report.json says, of the figures that are in the folder `figures` and of the record of these."""
    inputs = {
        name: digest
        for name, digest in report["inputs"].items()
        if Path(name).parent.name != FIGURES or (figures / Path(name).name).is_file()
    }
    for name in inputs:
        if Path(name).name == RECORD:
            inputs[name] = sha256(figures / RECORD)
    return with_checksum({**report, "inputs": inputs})


def _portable(manifest: dict) -> dict:
    """The manifest without the paths of the engine and the images on this machine."""
    engine, config = manifest["engine"], manifest.get("config", {})
    if "command" in engine:
        program, _, arguments = engine["command"].partition(" train ")
        engine["command"] = f"{Path(program).name} train {arguments}"
    config.pop("path", None)
    manifest["set"] = _PATH.sub("", manifest.get("set", "")).strip()
    return with_checksum(manifest) if "checksum" in manifest else manifest


def main(argv: list[str]) -> None:
    parser = cli.parser("publish", __doc__)
    parser.add_argument("--to", type=Path, metavar="FOLDER", help="instead of docs/results/<experiment>")
    arguments = parser.parse_args(argv)
    exp = load(arguments.experiment, arguments.set)
    folder = publish(exp, arguments.to)
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    size = sum(path.stat().st_size for path in files)
    print(f"{folder}/: {len(files)} files, {size / 1e6:.1f} MB")
