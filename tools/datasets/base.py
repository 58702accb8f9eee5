"""The interface of a data set: its classes, references to its images, and their pixels."""

import hashlib
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from tools.datasets.image_file import read_file

if TYPE_CHECKING:
    import numpy as np


@dataclass(frozen=True)
class Scan:
    """The images of a data set by class id. References are sorted. Each is in one class, of train or of val."""

    classes: list[str]  # ids, sorted
    train: dict[str, list[str]]  # class id -> references
    val: dict[str, list[str]]
    missing: dict[str, str] = field(default_factory=dict)  # in a list but not on disk, so not in train or val -> class
    notes: list[str] = field(default_factory=list)  # what was passed over, and other things to say, a sentence each

    @property
    def references(self) -> list[str]:
        """All images: those of train, then those of val, class by class."""
        return [image for part in (self.train, self.val) for images in part.values() for image in images]

    def of_classes(self, classes: list[str]) -> "Scan":
        """The same with these classes only. An image that is missing stays if its class has no image at all."""
        train, val = ({name: part[name] for name in classes} for part in (self.train, self.val))
        others = set(self.classes) - set(classes)
        missing = {reference: name for reference, name in self.missing.items() if name not in others}
        return Scan(classes, train, val, missing, self.notes)


class DataSet:
    """Images that are files below `root`. A reference is the path relative to it, with `/`.

    So `convert_imageset root/ list` can read a list of references. An object has only the path: threads may share it,
    and it can be sent to a process.
    """

    def __init__(self, root: Path) -> None:
        self.root = Path(root)
        self._prefix = f"{self.root}/"

    @classmethod
    def is_at(cls, folder: Path) -> bool:
        """Whether `folder` has this data set's layout. Looks at a few names, not at the images."""
        raise NotImplementedError

    @classmethod
    def found_at(cls, folder: Path) -> str | None:
        """What a folder without this layout has and lacks, to go on "FOLDER ..."; None if there is nothing to say."""
        return None

    def scan(self) -> Scan:
        """Reads lists and folders, no images. Raises UserError if the layout is not right."""
        raise NotImplementedError

    def read(self, reference: str, gray: bool = False) -> "np.ndarray":
        """The pixels at the image's own size: uint8, HxWx3 (BGR) or HxW (gray). Raises BadImage."""
        from tools.datasets.decode import decode  # numpy and OpenCV: a plan reads no image

        return decode(self._prefix + reference, gray)

    def file(self, reference: str) -> str:
        """The file that holds the image."""
        return self._prefix + reference

    def digest(self, reference: str) -> str:
        """The sha256 of the image's own bytes. Raises BadImage if they cannot be read."""
        return hashlib.sha256(read_file(self.file(reference))).hexdigest()
