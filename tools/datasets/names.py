"""What must hold for the names of all images, and is looked at before any image is read."""

import os

from caffeformat import FormatError, lmdb_file
from tools.common.errors import UserError
from tools.datasets.base import DataSet, Scan

_SHOWN = 5  # faults in a message


def require_each_once(data: DataSet, scan: Scan) -> None:
    """Raises UserError where links give one image file to two classes, or to train and val."""
    seen: dict[tuple[int, int], tuple[str, str, str]] = {}  # file -> part, class, reference
    faults = []
    for part, classes in (("train", scan.train), ("val", scan.val)):
        for name, references in classes.items():
            for reference in references:
                path = f"{data.root}/{reference}"
                if data.file(reference) != path or not os.path.exists(path):  # inside a larger file, or missing
                    continue
                status = os.stat(path)
                home = seen.setdefault((status.st_dev, status.st_ino), (part, name, reference))
                if home[:2] != (part, name):
                    faults.append(f"{home[2]} and {reference} are the same file")
    _refuse(data, faults, "by a link, so one image would be in two classes, or in train and in val; remove the links")


def require_one_line(data: DataSet, scan: Scan) -> None:
    """Raises UserError for names that a list, which has one reference per line, cannot hold."""
    faults = [f"{name!r}: not one line of UTF-8 text" for name in scan.references if not _is_one_line(name)]
    _refuse(data, faults, "rename these files or their folders")


def require_short_names(data: DataSet, scan: Scan) -> None:
    """Raises UserError for paths that are longer than the keys of an LMDB."""
    faults = []
    for reference in scan.references:
        try:
            lmdb_file.key(0, reference)
        except FormatError as error:
            faults.append(str(error))
    _refuse(data, faults, "use shorter names for these files or their folders")


def _is_one_line(name: str) -> bool:
    if name.isprintable():  # as nearly all are: no line break, and UTF-8
        return True
    try:
        return name.encode().decode().splitlines() == [name]
    except UnicodeEncodeError:
        return False


def _refuse(data: DataSet, faults: list[str], right: str) -> None:
    if faults:
        more = f"\n  ... and {len(faults) - _SHOWN:,} more" if len(faults) > _SHOWN else ""
        raise UserError(f"{data.root}: " + "\n  ".join(faults[:_SHOWN]) + f"{more}\n  {right}")
