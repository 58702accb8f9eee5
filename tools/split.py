"""Divide a data set's classes into two halves, draw the target sets of every size, and write them as lists.

    python -m tools split experiments/tiny.yaml

writes, in data/tiny-imagenet/split0, `A/n0500.txt` ... `A/n0050.txt`, `A/val.txt`, the same of B (lines of
`reference label`, in the order of the labels), and split.json: seeds, class map, counts, the sha256 of every list.
docs/protocol.md, "Data", 1 to 3; thesis section 5.1. The same seed gives the same bytes on any machine.
"""

import hashlib
import re
from typing import Any

from tools import cli
from tools.common.files import load_json, lock, read_record, write_if_changed, write_record
from tools.common.shuffle import shuffled
from tools.datasets import open_dataset
from tools.datasets.checked import CheckedImages, bad_images_error
from tools.datasets.copies import copy_notes
from tools.datasets.looks import look, notes
from tools.datasets.names import require_each_once, require_one_line, require_short_names
from tools.datasets.present import content_of, fingerprint
from tools.nets.templates import check_classes
from tools.planning.stages import split_stage
from tools.protocol.experiment import Experiment, Size
from tools.protocol.fit import Images, check_counts, class_halves, drawn_classes
from tools.protocol.layout import Split, size_name, split_of, split_seeds, train_sizes

_SHOWN = 20  # how many bad images split.json names


def split(exp: Experiment, seed: int) -> bool:
    """Writes the lists and split.json for one of `exp.seeds`; returns False if they were complete already.

    Existing lists of other sizes stay in split.json. Raises UserError for: images missing or unreadable (unless
    `on_bad_image: skip`), an odd number of classes, a size that a class does not have, no validation image of a class,
    templates that do not fit the number of classes.
    """
    place = split_of(exp, seed)
    if split_stage(exp, seed).is_complete:  # asked before the lock: a finished split may be on a read-only disk
        return False
    with lock(place.folder / ".lock"):
        if split_stage(exp, seed).is_complete:
            return False
        data = open_dataset(exp)
        whole = data.scan()
        require_one_line(data, whole)
        scan = whole.of_classes(drawn_classes(exp, seed, whole.classes))
        missing = dict.fromkeys(scan.missing, "no such file")
        require_each_once(data, scan)
        require_short_names(data, scan)
        if exp.on_bad_image == "error" and missing:
            raise bad_images_error(exp, data, missing)
        # before the images are read: that takes long
        check_counts(exp, seed, scan.classes, scan.train, scan.val, notes=scan.notes)
        check_classes(exp, len(scan.classes) // 2)
        checked = CheckedImages(exp, data).check(scan.references, whole.references)
        bad = {name: image.fault for name, image in sorted(checked.items()) if image.fault is not None}
        if exp.on_bad_image == "error" and bad:
            raise bad_images_error(exp, data, bad)
        train, val = _without(scan.train, bad), _without(scan.val, bad)
        check_counts(exp, seed, scan.classes, train, val, len(bad) + len(missing), scan.notes)
        split_seed, subsample_seed = split_seeds(exp, seed)
        halves = class_halves(scan.classes, split_seed)
        digests = {name: image.digest for name, image in checked.items()}
        record = {
            "dataset": exp.dataset,
            "root": str(data.root),
            "images": fingerprint(whole, scan.classes, digests),
            "split_seed": split_seed,
            "subsample_seed": subsample_seed,
            "nested": exp.nested,
            "classes": halves,
            "counts": {half: {"train": _count(train, ids), "val": _count(val, ids)} for half, ids in halves.items()},
            "missing": {"count": len(missing), "first": sorted(missing)[:_SHOWN]},
            "unreadable": {"count": len(bad), "first": sorted(bad)[:_SHOWN]},
            "notes": [
                *scan.notes,
                *copy_notes(train, val, digests),
                *notes(look(data, scan), exp.gray, exp.image_size),
            ],
        }
        sizes = _sizes(exp, place, train)
        write_record(place.marker, record | {"lists": _write_lists(exp, place, sizes, record, train, val, digests)})
        return True


def _draw(references: list[str], size: Size, seed: int, nested: bool) -> list[str]:
    """`size` images of one class, sorted. With `nested`, draws of one seed are prefixes of the same random order."""
    if size == "all":
        return sorted(references)
    purpose = "images" if nested else f"images|{size}"
    return sorted(shuffled(references, seed, purpose)[:size])


def _write_lists(
    exp: Experiment,
    place: Split,
    sizes: list[Size],
    record: dict[str, Any],
    train: Images,
    val: Images,
    digests: dict[str, str],
) -> dict[str, dict[str, Any]]:
    """Writes the missing lists; returns name -> sha256, number and content of its images, for all lists."""
    seed = record["subsample_seed"]
    lists = {}
    for half, ids in record["classes"].items():
        drawn = {
            place.train_list(half, size): [_draw(train[name], size, seed, exp.nested) for name in ids] for size in sizes
        }
        drawn[place.val_list(half)] = [val[name] for name in ids]
        for path, classes in drawn.items():
            lines = [f"{reference} {label}\n" for label, images in enumerate(classes) for reference in images]
            text = "".join(lines)
            write_if_changed(path, text)
            digest = hashlib.sha256(text.encode()).hexdigest()
            content = content_of((reference for images in classes for reference in images), digests)
            name = str(path.relative_to(place.folder))
            lists[name] = {"sha256": digest, "images": len(lines), "content": content}
    return lists


def _sizes(exp: Experiment, place: Split, train: Images) -> list[Size]:
    """The sizes of `exp`, and those of existing lists of other experiments that can still be drawn."""
    record = read_record(place.marker, lists=dict) or {"lists": {}}
    others: list[Size] = []
    for name in record["lists"]:
        match = re.fullmatch(r"A/n(all|\d+)\.txt", name)
        if match:
            others.append("all" if match[1] == "all" else int(match[1]))
    smallest = min(map(len, train.values()))
    needed = train_sizes(exp)
    return needed + [size for size in others if size not in needed and (size == "all" or size <= smallest)]


def _without(classes: Images, bad: dict[str, str]) -> Images:
    return {name: [r for r in references if r not in bad] for name, references in classes.items()}


def _count(classes: Images, ids: list[str]) -> int:
    return sum(len(classes[name]) for name in ids)


def main(argv: list[str]) -> None:
    exp = cli.experiment("split", __doc__, argv)
    for seed in exp.seeds:
        place = split_of(exp, seed)
        written = split(exp, seed)
        record = load_json(place.marker)
        k = len(record["classes"]["A"])
        names = ", ".join(size_name(size) for size in train_sizes(exp))
        bad = record["missing"]["count"] + record["unreadable"]["count"]
        left_out = f", {bad} missing or unreadable images left out" if bad else ""
        state = "written" if written else "complete already"
        print(f"{place.folder}: {k} + {k} classes, lists {names} and val{left_out}: {state}")
        for note in record.get("notes", []):
            print(f"note: {note}")
