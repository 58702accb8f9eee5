"""The data sets, by the name that an experiment file gives: images by reference, classes by id.

Example:
    data = open_dataset(exp)
    data.scan().train["n01443537"]  # references, sorted
    data.read("train/n01443537/images/n01443537_0.JPEG")  # uint8, HxWx3, BGR
"""

from pathlib import Path

from tools.common.errors import UserError
from tools.common.files import read_json
from tools.datasets.base import DataSet, Scan
from tools.datasets.cards import check_classes
from tools.datasets.decode import BadImage
from tools.datasets.fashion_mnist import FashionMnist
from tools.datasets.folder import Folder
from tools.datasets.miniplaces import MiniPlaces
from tools.datasets.tiny_imagenet import TinyImageNet
from tools.protocol.experiment import Experiment
from tools.protocol.layout import dataset_folder

__all__ = ["BadImage", "DataSet", "Scan", "check_classes", "fetched", "find_in", "open_dataset"]

KINDS: dict[str, type[DataSet]] = {kind.name: kind for kind in (FashionMnist, TinyImageNet, MiniPlaces, Folder)}


def open_dataset(exp: Experiment) -> DataSet:
    """The data set in the folder `path:`, else the one that fetch brought. Raises UserError if neither is there."""
    named = named_folder(exp)
    if named is not None:
        return KINDS[exp.dataset](named)
    folder = fetched(exp)
    if folder is None:
        raise UserError(f"{dataset_folder(exp)}: {exp.dataset} is not here yet; run `python -m tools fetch {exp.file}`")
    return KINDS[exp.dataset](folder)


def named_folder(exp: Experiment) -> Path | None:
    """The data set's folder at `path:`; None where that is a file (an archive) or not given. Raises UserError."""
    if exp.path is None or Path(exp.path).is_file():
        return None
    if not Path(exp.path).is_dir():
        raise exp.fault("path", f"{exp.path} does not exist", "name the data set's folder, or its archive")
    folder = find_in(exp.dataset, Path(exp.path))
    if folder is None:
        raise exp.fault("path", f"{exp.path} is no {exp.dataset}", f"right is {KINDS[exp.dataset].layout}")
    return folder


def fetched(exp: Experiment) -> Path | None:
    """The folder that fetch recorded in fetch.json, if it is still there and of what `path:` names."""
    record = read_json(dataset_folder(exp) / "fetch.json")
    if record is None or (exp.path is not None and record["path"] != str(Path(exp.path).resolve())):
        return None
    folder = dataset_folder(exp) / record["folder"]
    return folder if KINDS[exp.dataset].is_at(folder) else None


def find_in(dataset: str, folder: Path) -> Path | None:
    """`folder`, or the one folder in it that has the data set's layout (an archive's top folder)."""
    if KINDS[dataset].is_at(folder):
        return folder
    inside = [f for f in sorted(folder.iterdir()) if f.is_dir() and not f.name.startswith(".")]
    found = [f for f in inside if KINDS[dataset].is_at(f)]
    return found[0] if len(found) == 1 else None
