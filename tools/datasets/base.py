"""What every data set offers: its classes, its images by reference, and their pixels."""

from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from tools.datasets.decode import decode


@dataclass(frozen=True)
class Scan:
    """What a data set holds, by class id. References are sorted; a reference is in one class of train or of val."""

    classes: list[str]  # ids, sorted
    train: dict[str, list[str]]  # class id -> references
    val: dict[str, list[str]]
    missing: list[str] = field(default_factory=list)  # a list names them, the disk lacks them; not in train or val


class DataSet:
    """Images that lie as files below `root`: a reference is the path relative to it, with `/`.

    `convert_imageset root/ list` therefore reads a list of references as it stands. Objects hold nothing but the path:
    threads may share one, and processes may be sent one.
    """

    name: str
    layout: str  # what lies in its folder, for messages

    def __init__(self, root: Path) -> None:
        self.root = Path(root)

    @classmethod
    def is_at(cls, folder: Path) -> bool:
        """Whether `folder` has this data set's layout, judged by a few names and not by the images."""
        raise NotImplementedError

    def scan(self) -> Scan:
        """Reads lists and folders, no image. Raises UserError where the layout is not this data set's."""
        raise NotImplementedError

    def read(self, reference: str, gray: bool = False) -> np.ndarray:
        """uint8, HxWx3 (BGR) or HxW (gray), at the image's own size. Raises BadImage."""
        return decode(f"{self.root}/{reference}", gray)
