"""Fetch the data set of an experiment into data/<dataset>/ and check it. A second call does nothing.

    python -m tools fetch experiments/demo.yaml
    python -m tools fetch experiments/tiny.yaml --set path=/data/tiny-imagenet-200.zip     # or its folder: offline

data/cards/<dataset>.yaml says what the data set is, where it comes from, and its checksums. fetch.json, written last,
records what was fetched. Without it, fetch continues with what is in data/<dataset>/.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from tools import cli
from tools.common.errors import UserError
from tools.common.files import load_json, lock, write_json
from tools.datasets import Scan, fetched, named_folder, reader, refuse_other_images
from tools.datasets.bring import UNPACKED, bring
from tools.datasets.download import md5
from tools.datasets.names import require_one_line
from tools.planning.stages import fetch_stage
from tools.protocol.experiment import Experiment
from tools.protocol.layout import dataset_folder
from tools.protocol.register import card, check_classes


def fetch(exp: Experiment) -> bool:
    """Fetches the data set and writes fetch.json; returns False if it was there already. Raises UserError."""
    folder = dataset_folder(exp)
    if _is_complete(exp):  # asked before the lock: the disk may be read-only
        return False
    refuse_other_images(exp)
    with lock(folder / ".fetch.lock"):
        if _is_complete(exp):
            return False
        brought = bring(exp, folder)
        data = reader(exp.dataset)(brought.folder)
        scan = data.scan()
        require_one_line(data, scan)
        inside = brought.folder.is_relative_to(folder)
        record = {
            "dataset": exp.dataset,
            "path": None if exp.path is None else str(Path(exp.path).resolve()),
            "folder": str(brought.folder.relative_to(folder) if inside else brought.folder),
            "files": brought.files,
            "counts": _counts(scan),
            "missing": len(scan.missing),
            "class_list": check_classes(exp.dataset, scan.classes),
        }
        write_json(folder / "fetch.json", record)
    return True


def _is_complete(exp: Experiment) -> bool:
    """Whether the data set is here and, if `path:` names a folder, has as many images as before; an archive that it
    names has the same bytes. Raises UserError where images were lost after an archive was unpacked."""
    stage = fetch_stage(exp)
    record = stage.record
    if record is None or not stage.is_complete:
        return False
    named = named_folder(exp)
    if named is not None:
        return bool(record.get("counts") == _counts(reader(exp.dataset)(named).scan()))
    if exp.path is not None and not _is_same_archive(Path(exp.path), record, stage.marker):
        return False
    if record["folder"].startswith(UNPACKED):
        _require_all(exp, record, stage.marker)
    return True


def _require_all(exp: Experiment, record: dict[str, Any], marker: Path) -> None:
    """Raises UserError if the unpacked folder has not the number of images that was unpacked."""
    folder = dataset_folder(exp) / record["folder"]
    now, then = _counts(reader(exp.dataset)(folder).scan()), record.get("counts")
    if then not in (None, now):
        unpacked = dataset_folder(exp) / Path(record["folder"]).parts[0]
        raise UserError(
            f"{folder}: has {_text(now)}, where {_text(then)} were unpacked; remove {unpacked} and fetch again, "
            f"or remove {marker} to use what is there"
        )


def _is_same_archive(archive: Path, record: dict[str, Any], marker: Path) -> bool:
    """Whether the file is the one that was unpacked. It is read only if it was put there, or changed, after that."""
    then, now = record["files"][0], archive.stat()
    if then["bytes"] != now.st_size:
        return False
    return now.st_ctime_ns < marker.stat().st_mtime_ns or md5(archive) == then["md5"]


def _counts(scan: Scan) -> dict[str, int]:
    train, val = (sum(map(len, part.values())) for part in (scan.train, scan.val))
    return {"classes": len(scan.classes), "train": train, "val": val}


def main(argv: list[str]) -> None:
    exp = cli.experiment("fetch", __doc__, argv)
    print(f"{exp.dataset}: {'here' if fetch(exp) else 'here already'}, in {fetched(exp)}")
    record = load_json(dataset_folder(exp) / "fetch.json")
    missing = f", {record['missing']:,} more are listed but missing" if record["missing"] else ""
    print(f"{_text(record['counts'])}{missing}; {record['class_list']}")
    about = card(exp.dataset)
    if about.is_published and record["counts"] != about.counts:
        print(f"note: the published {about.title} has {_text(about.counts)}")


def _text(counts: Mapping[Any, int]) -> str:
    return f"{counts['classes']} classes, {counts['train']:,} training and {counts['val']:,} validation images"
