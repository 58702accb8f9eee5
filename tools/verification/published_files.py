"""The files of published results, docs/results/EXP, and the checksums that were published with them."""

import json
from pathlib import Path
from typing import Any

from tools.common.errors import UserError
from tools.common.files import is_whole, read_json, sha256
from tools.planning.stages import FIGURES
from tools.results.columns import MANIFESTS, RUNS, read_csv
from tools.verification.commands import Commands
from tools.verification.findings import Findings

_RECORDS = ("report.json", f"{FIGURES}/figures.json", "summary.json")  # what the last one says of a file counts


def look_at_published(folder: Path, commands: Commands) -> Findings:
    """Compares tables, claims and figures with the checksums in summary.json, figures.json and report.json, and the
    accuracies of runs.csv with manifests.jsonl. Raises UserError if the folder holds no publication.
    """
    if not (folder / MANIFESTS).is_file():
        raise UserError(f"{folder}: no {MANIFESTS} there; --from names a folder that `python -m tools publish` wrote")
    findings = Findings()
    again = commands.publish(folder)
    digests: dict[Path, str] = {}
    for name in _RECORDS:
        digests |= _digests(folder, name, again, findings)
    for file in sorted(path for path in folder.rglob("*") if path.is_file() and path.suffix != ".md"):
        if str(file.relative_to(folder)) in (*_RECORDS, MANIFESTS):
            continue
        if file not in digests:
            findings.unrecorded.append(file)
        elif (now := sha256(file)) != digests[file]:
            what = f"not the bytes that were recorded: sha256 {now[:12]}..., recorded {digests[file][:12]}..."
            findings.add(file, what, again)
        else:
            findings.files += 1
    for file in sorted(digests.keys() - set(folder.rglob("*"))):
        findings.add(file, "not there", again)
    _check_runs(folder, again, findings)
    return findings


def _digests(folder: Path, name: str, again: str, findings: Findings) -> dict[Path, str]:
    """The files of the folder that a record names, and their sha256. Adds a fault for a broken record."""
    if not (folder / name).is_file():
        return {}
    record = read_json(folder / name)
    if not isinstance(record, dict) or not is_whole(record):
        findings.add(folder / name, "broken, or changed since it was written", again)
        return {}
    if name == "summary.json":
        return {folder / table: digest for table, digest in record.get("tables", {}).items()}
    if name == "report.json":  # results/demo/figures/gain.png -> docs/results/demo/figures/gain.png
        names = {Path(*Path(path).parts[2:]): digest for path, digest in record.get("inputs", {}).items()}
        return {folder / path: digest for path, digest in names.items() if (folder / path).is_file()}
    return {folder / FIGURES / figure: digest for figure, digest in record.get("outputs", {}).items()}


def _check_runs(folder: Path, again: str, findings: Findings) -> None:
    """Every row of runs.csv has the accuracy of its run's manifest, and every manifest is whole."""
    try:
        manifests = [json.loads(line) for line in (folder / MANIFESTS).read_text(encoding="utf-8").splitlines()]
        told = {f"models/{m['experiment']}/{m['run']}": m["result"]["accuracy"] for m in manifests}
    except (ValueError, KeyError, TypeError) as error:
        findings.add(folder / MANIFESTS, f"broken: {error!r}", again)
        return
    for manifest in manifests:
        if not is_whole(manifest):
            findings.add(folder / MANIFESTS, f"the manifest of {manifest['run']} changed since it was written", again)
    if folder / RUNS in findings.damaged or not (folder / RUNS).is_file():
        return
    for row in read_csv(folder / RUNS):
        if row["status"] != "failed" and not _same(told.get(str(row["run"])), row["accuracy"]):
            what = f"{row['run']} has accuracy {row['accuracy']}, in {MANIFESTS} it is {told.get(str(row['run']))}"
            findings.add(folder / RUNS, what, again)


def _same(there: Any, here: Any) -> bool:
    return there == here or (there != there and here != here)  # NaN is not equal to itself
