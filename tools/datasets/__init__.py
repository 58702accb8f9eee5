"""The data sets, by the name that an experiment file gives: images by reference, classes by id.

Example:
    data = open_dataset(exp)
    data.scan().train["n01443537"]  # references, sorted
    data.read("train/n01443537/images/n01443537_0.JPEG")  # uint8, HxWx3, BGR
"""

import contextlib
from importlib import import_module
from pathlib import Path
from typing import Any

from tools.common.errors import UserError, shown
from tools.common.files import read_record
from tools.datasets.base import DataSet, Scan
from tools.datasets.image_file import BadImage
from tools.datasets.walk import is_system
from tools.protocol.experiment import Experiment
from tools.protocol.layout import dataset_folder
from tools.protocol.register import CARDS, card

__all__ = [
    "BadImage",
    "DataSet",
    "Scan",
    "fetched",
    "find_in",
    "folders_in",
    "named_folder",
    "open_dataset",
    "reader",
    "refuse_other_images",
    "several",
]

_SHOWN = 5  # folders in a message


def reader(dataset: str) -> type[DataSet]:
    """The class that reads the data set: its card names it, as `module.Class` of this folder."""
    module, name = card(dataset).reader.split(".")
    try:
        kind: type[DataSet] = getattr(import_module(f"tools.datasets.{module}"), name)
    except (ModuleNotFoundError, AttributeError):
        raise UserError(f"{CARDS}/{dataset}.yaml: reader: {module}.{name} is no class of tools/datasets/") from None
    return kind


def open_dataset(exp: Experiment) -> DataSet:
    """The data set in the folder `path:`, else the fetched one. Raises UserError if neither is there.

    Its root has no links: two spellings of a folder are one data set.
    """
    folder = fetched(exp) if exp.path is None or not Path(exp.path).is_dir() else None
    if folder is not None:  # also where the archive that was unpacked is gone
        return reader(exp.dataset)(folder.resolve())
    folder = named_folder(exp)
    if folder is None:
        refuse_other_images(exp)
        raise UserError(f"{dataset_folder(exp)}: {exp.dataset} is not here yet; run `python -m tools fetch {exp.file}`")
    return reader(exp.dataset)(folder.resolve())


def named_folder(exp: Experiment) -> Path | None:
    """The data set's folder at `path:`; None where that is a file (an archive) or not given. Raises UserError."""
    if exp.path is None:
        return None
    if Path(exp.path).is_file():
        if card(exp.dataset).published_archive is None:
            raise exp.fault("path", f"{exp.path} is a file", f"name a folder with {card(exp.dataset).layout}")
        return None
    if not Path(exp.path).is_dir():
        raise exp.fault("path", f"{exp.path} does not exist", "name the data set's folder, or its archive")
    folder = find_in(exp.dataset, Path(exp.path))
    if folder is None:
        inside = folders_in(exp.dataset, Path(exp.path))
        if inside:
            raise exp.fault("path", f"{exp.path} holds {several(inside)}", "name one of them")
        found = reader(exp.dataset).found_at(Path(exp.path)) or f"is not {exp.dataset}"
        raise exp.fault("path", f"{exp.path} {found}", f"right is {card(exp.dataset).layout}")
    return folder


def several(folders: list[Path]) -> str:
    """`3 data sets (a, b, c)`, for a message."""
    names = ", ".join(shown(folder.name) for folder in folders[:_SHOWN]) + (", ..." if len(folders) > _SHOWN else "")
    return f"{len(folders)} data sets ({names})"


def fetched(exp: Experiment) -> Path | None:
    """The folder that fetch recorded in fetch.json, if it is still there and of what `path:` names.

    Without `path:`, images that another call named count only if they are as many as the published ones.
    """
    record = _record(exp)
    if record is None or _is_other(exp, record):
        return None
    folder = dataset_folder(exp) / record["folder"]
    return folder if reader(exp.dataset).is_at(folder) else None


def refuse_other_images(exp: Experiment) -> None:
    """Raises UserError if the experiment names no images, and those that are here are another call's, and not all."""
    record = _record(exp)
    if exp.path is None and record is not None and _is_other(exp, record):
        about, place, train = card(exp.dataset), record["path"], (record.get("counts") or {}).get("train")
        raise UserError(
            f"{dataset_folder(exp) / 'fetch.json'}: the images here are those of {place}, which another call named: "
            f"{train} for training, where the published {about.title} has {about.counts['train']}; {exp.file} names "
            f"none. Give path={place} to use these, or remove fetch.json to fetch the published ones"
        )


def _record(exp: Experiment) -> dict[str, Any] | None:
    record = read_record(dataset_folder(exp) / "fetch.json", folder=str)
    return record if record is not None and "path" in record else None


def _is_other(exp: Experiment, record: dict[str, Any]) -> bool:
    if exp.path is not None:
        return record["path"] != str(Path(exp.path).resolve())
    return record["path"] is not None and record.get("counts") != card(exp.dataset).counts


def find_in(dataset: str, folder: Path) -> Path | None:
    """`folder`, or the one folder in it that has the data set's layout (an archive's top folder)."""
    if reader(dataset).is_at(folder):
        return folder
    matching = folders_in(dataset, folder)
    return matching[0] if len(matching) == 1 else None


def folders_in(dataset: str, folder: Path) -> list[Path]:
    """The folders in `folder` that have the data set's layout, sorted."""
    matching = []
    for inside in sorted(folder.iterdir()):
        with contextlib.suppress(OSError):  # it may not be read, as lost+found
            if not is_system(inside.name) and reader(dataset).is_at(inside):
                matching.append(inside)
    return matching
