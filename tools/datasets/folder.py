"""Any folder of images: train/<class>/*, val/<class>/*."""

import os
from pathlib import Path

from tools.common.errors import UserError
from tools.datasets.base import DataSet, Scan

# The image files that OpenCV reads in every build. Files with other suffixes are ignored.
SUFFIXES = {".bmp", ".dib", ".gif", ".jp2", ".jpe", ".jpeg", ".jpg", ".pbm", ".pgm", ".png", ".pnm", ".ppm", ".ras"}
SUFFIXES |= {".sr", ".tif", ".tiff", ".webp"}


class Folder(DataSet):
    """A class id is the name of a class folder. Image files at any depth below it belong to the class."""

    @classmethod
    def is_at(cls, folder: Path) -> bool:
        return (folder / "train").is_dir() and (folder / "val").is_dir()

    def scan(self) -> Scan:
        train, val = self._classes("train"), self._classes("val")
        for classes, others, part, other in ((train, val, "train", "val"), (val, train, "val", "train")):
            alone = sorted(set(classes) - set(others))
            if alone:
                names = ", ".join(alone[:5]) + (", ..." if len(alone) > 5 else "")
                raise UserError(
                    f"{self.root / other}: no images of {len(alone)} classes that {part}/ has ({names}); "
                    f"every class needs a folder of images in both train/ and val/"
                )
        return Scan(sorted(train), train, val)

    def _classes(self, part: str) -> dict[str, list[str]]:
        """Class id -> references, for every class folder of `part` that has an image."""
        folder = self.root / part
        if not folder.is_dir():
            raise UserError(f"{folder}: no such folder; a `folder` data set has train/<class>/* and val/<class>/*")
        classes = {}
        for entry in sorted(os.scandir(folder), key=lambda e: e.name):
            if entry.is_dir() and not entry.name.startswith("."):
                images = sorted(f"{part}/{entry.name}/{name}" for name in _images(entry.path))
                for image in images:
                    if not _is_one_line(image):
                        raise UserError(f"{self.root}: {image!r}: not one line of UTF-8 text; rename the file")
                if images:
                    classes[entry.name] = images
        if not classes:
            raise UserError(f"{folder}: no images in class folders; it should hold <class>/*.jpg, *.png, ...")
        return classes


def _is_one_line(name: str) -> bool:
    """Whether a list, which has one reference per line, can hold the name."""
    try:
        return len(name.encode().decode().splitlines()) == 1
    except UnicodeEncodeError:
        return False


def _images(folder: str) -> list[str]:
    """Paths relative to `folder` of all image files below it, without hidden ones."""
    images: list[str] = []
    for where, folders, files in os.walk(folder, followlinks=True):
        folders[:] = [f for f in folders if not f.startswith(".")]
        inside = os.path.relpath(where, folder)
        names = (f for f in files if not f.startswith(".") and Path(f).suffix.lower() in SUFFIXES)
        images += [n if inside == "." else f"{inside}/{n}" for n in names]
    return images
