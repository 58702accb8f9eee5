"""The data sets, by the name that an experiment file gives: images by reference, classes by id.

Example:
    data = open_dataset(exp)
    data.scan().train["n01443537"]  # references, sorted
    data.read("train/n01443537/images/n01443537_0.JPEG")  # uint8, HxWx3, BGR
"""

import contextlib
from importlib import import_module
from pathlib import Path

from tools.common.errors import UserError
from tools.common.files import read_record
from tools.datasets.base import DataSet, Scan
from tools.datasets.image_file import BadImage
from tools.datasets.walk import is_system
from tools.protocol.experiment import Experiment
from tools.protocol.layout import dataset_folder
from tools.protocol.register import CARDS, card

__all__ = ["BadImage", "DataSet", "Scan", "fetched", "find_in", "named_folder", "open_dataset", "reader"]


def reader(dataset: str) -> type[DataSet]:
    """The class that reads the data set: its card names it, as `module.Class` of this folder."""
    module, name = card(dataset).reader.split(".")
    try:
        kind: type[DataSet] = getattr(import_module(f"tools.datasets.{module}"), name)
    except (ModuleNotFoundError, AttributeError):
        raise UserError(f"{CARDS}/{dataset}.yaml: reader: {module}.{name} is no class of tools/datasets/") from None
    return kind


def open_dataset(exp: Experiment) -> DataSet:
    """The data set in the folder `path:`, else the fetched one. Raises UserError if neither is there."""
    folder = fetched(exp) if exp.path is None or not Path(exp.path).is_dir() else None
    if folder is not None:  # also where the archive that was unpacked is gone
        return reader(exp.dataset)(folder)
    folder = named_folder(exp)
    if folder is None:
        raise UserError(f"{dataset_folder(exp)}: {exp.dataset} is not here yet; run `python -m tools fetch {exp.file}`")
    return reader(exp.dataset)(folder)


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
        found = reader(exp.dataset).found_at(Path(exp.path)) or f"is not {exp.dataset}"
        raise exp.fault("path", f"{exp.path} {found}", f"right is {card(exp.dataset).layout}")
    return folder


def fetched(exp: Experiment) -> Path | None:
    """The folder that fetch recorded in fetch.json, if it is still there and of what `path:` names."""
    record = read_record(dataset_folder(exp) / "fetch.json", folder=str)
    if record is None or "path" not in record:
        return None
    if exp.path is not None and record["path"] != str(Path(exp.path).resolve()):
        return None
    folder = dataset_folder(exp) / record["folder"]
    return folder if reader(exp.dataset).is_at(folder) else None


def find_in(dataset: str, folder: Path) -> Path | None:
    """`folder`, or the one folder in it that has the data set's layout (an archive's top folder)."""
    if reader(dataset).is_at(folder):
        return folder
    matching = []
    for inside in sorted(folder.iterdir()):
        with contextlib.suppress(OSError):  # it may not be read, as lost+found
            if not is_system(inside.name) and reader(dataset).is_at(inside):
                matching.append(inside)
    return matching[0] if len(matching) == 1 else None
