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
from tools.common.files import load_json, lock, write_json
from tools.datasets import fetched, reader
from tools.datasets.bring import bring
from tools.planning.stages import fetch_stage
from tools.protocol.experiment import Experiment
from tools.protocol.layout import dataset_folder
from tools.protocol.register import card, check_classes


def fetch(exp: Experiment) -> bool:
    """Fetches the data set and writes fetch.json; returns False if it was there already. Raises UserError."""
    folder = dataset_folder(exp)
    with lock(folder / ".fetch.lock"):
        if fetch_stage(exp).is_complete:
            return False
        brought = bring(exp, folder)
        scan = reader(exp.dataset)(brought.folder).scan()
        inside = brought.folder.is_relative_to(folder)
        record = {
            "dataset": exp.dataset,
            "path": None if exp.path is None else str(Path(exp.path).resolve()),
            "folder": str(brought.folder.relative_to(folder) if inside else brought.folder),
            "files": brought.files,
            "counts": {
                "classes": len(scan.classes),
                "train": sum(map(len, scan.train.values())),
                "val": sum(map(len, scan.val.values())),
            },
            "missing": len(scan.missing),
            "class_list": check_classes(exp.dataset, scan.classes),
        }
        write_json(folder / "fetch.json", record)
    return True


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
