"""The image files of a data set's class folders: each file once, in spite of links. What is passed over is noted.

A file is an image if its suffix says so, or else if its first bytes do: browsers save photographs as `.jfif`, and many
data sets have names without a suffix.
"""

import errno
import os
from collections import Counter
from collections.abc import Iterable
from pathlib import Path

from tools.common.errors import UserError, shown

# The image files that OpenCV reads in every build. A file of such a name that is no image is an error, not passed over.
SUFFIXES = {".bmp", ".dib", ".gif", ".jp2", ".jpe", ".jpeg", ".jpg", ".pbm", ".pgm", ".png", ".pnm", ".ppm", ".ras"}
SUFFIXES |= {".sr", ".tif", ".tiff", ".webp"}
# Further ones. OpenCV reads some of these in some builds; what it cannot read is told.
_PHOTOGRAPHS = {".arw", ".avif", ".cr2", ".cr3", ".dng", ".heic", ".heif", ".jfif", ".jxl", ".nef", ".orf", ".pjpeg"}
_PHOTOGRAPHS |= {".pjp", ".raf", ".rw2", ".tga"}
# Files that lie beside images in large numbers. They are not opened.
_NO_IMAGES = {".csv", ".db", ".htm", ".html", ".ini", ".json", ".mat", ".md", ".npy", ".txt", ".url", ".xml", ".yaml"}
_NO_IMAGES |= {".doc", ".docx", ".log", ".pdf", ".py"}
# What systems put into folders of photographs. It is passed over without a note, as hidden files are.
_SYSTEM = {"thumbs.db", "ehthumbs.db", "desktop.ini", "icon\r", "__macosx", "@eadir", "#recycle", "$recycle.bin"}
_SYSTEM |= {"@recycle", "#snapshot", "system volume information", "lost+found", "__pycache__"}
_SYSTEM |= {".@__thumb", ".appledouble", ".cache", ".git", ".ipynb_checkpoints", ".thumbnails", ".trash", ".trashes"}
_SHOWN = 3  # names in a note
_LINKS = 5  # links in an error


def is_system(name: str) -> bool:
    """Whether a file or folder of this name is passed over without a note: hidden, or put there by a system."""
    return name.startswith(".") or name.lower() in _SYSTEM


class ImageWalk:
    """Walks the class folders below `root`, one after the other, and collects what there is to say about them.

    missing: references of links to nothing, but for those with the suffix of another kind of file -> class folder.
    """

    def __init__(self, root: Path) -> None:
        self.root = Path(root)
        self.missing: dict[str, str] = {}
        self._homes: dict[tuple[int, int], tuple[str, str]] = {}  # folder -> the class that it was walked for, its name
        self._unnamed: list[str] = []
        self._photographs: list[str] = []  # that OpenCV cannot read
        self._others: list[str] = []
        self._hidden: list[str] = []
        self._special: list[str] = []
        self._links: list[str] = []

    def images(self, folder: str) -> list[str]:
        """References, sorted, of all images at any depth below `folder`, which is one class of train or val.

        A link that leads back into the same class is passed over. Raises UserError for one that leads into another.
        """
        found: dict[str, bool] = {}  # reference -> whether it is a link
        waiting = [folder]
        while waiting:
            inside = waiting.pop()
            if not self._is_first_visit(inside, folder):
                self._links.append(inside)
                continue
            with os.scandir(self.root / inside) as entries:
                for entry in sorted(entries, key=lambda e: e.name):
                    reference = f"{inside}/{entry.name}"
                    if is_system(entry.name):
                        self._hidden += [reference] if is_hidden_class(entry) else []
                        continue
                    if entry.is_file(follow_symlinks=False) and _suffix(entry) in SUFFIXES:  # as most are
                        found[reference] = False
                    elif is_folder(entry):
                        waiting.insert(0 if entry.is_symlink() else len(waiting), reference)  # links last
                    elif self._is_image(entry, reference, folder):
                        found[reference] = entry.is_symlink()
        return sorted(self._each_once(found))

    def notes(self) -> list[str]:
        """What the reader of a data set should know, one sentence each."""
        return [
            *note("read as images, though the suffix is not an image's", self._unnamed),
            *_kinds("left out, photographs that OpenCV cannot read", self._photographs),
            *_kinds("passed over, no images", self._others),
            *note("left out, hidden folders with images", self._hidden),
            *note("passed over, pipes, sockets or devices", self._special),
            *note("passed over, links back into their own class, so that each image counts once", self._links),
        ]

    def _is_first_visit(self, inside: str, owner: str) -> bool:
        status = os.stat(self.root / inside)
        home, name = self._homes.setdefault((status.st_dev, status.st_ino), (owner, inside))
        if home != owner:
            raise UserError(
                f"{self.root}: {name} and {inside} are the same folder (one is a link), so its images would be in two "
                f"classes, or in train and in val; remove the link"
            )
        return name == inside

    def _is_image(self, entry: os.DirEntry[str], reference: str, owner: str) -> bool:
        suffix = _suffix(entry)
        if not _is_file(entry):
            if _leads_to_itself(entry):
                self._links.append(reference)
            elif entry.is_symlink() and not os.path.exists(entry.path):
                if suffix in _NO_IMAGES:
                    self._others.append(reference)
                else:
                    self.missing[reference] = owner
            else:
                self._special.append(reference)
            return False
        if suffix in SUFFIXES:
            return True
        if suffix in _NO_IMAGES:
            self._others.append(reference)
            return False
        if _has_reader(entry.path):
            self._unnamed.append(reference)
            return True
        if not _can_be_opened(entry.path):  # nobody knows what it is: whoever reads it tells why
            return True
        (self._photographs if suffix in _PHOTOGRAPHS else self._others).append(reference)
        return False

    def _each_once(self, found: dict[str, bool]) -> Iterable[str]:
        """The references without links to a file that is among them already."""
        if not any(found.values()):
            return found
        kept: dict[tuple[int, int], str] = {}
        doubles = set()
        for reference in sorted(found, key=lambda name: (found[name], name)):  # files before links
            status = os.stat(self.root / reference)
            if kept.setdefault((status.st_dev, status.st_ino), reference) != reference and found[reference]:
                doubles.add(reference)
        self._links += sorted(doubles)
        return found.keys() - doubles


def require_linked(folders: Iterable[Path]) -> None:
    """Raises UserError for links to nothing in these folders of class folders: the classes would go without a word.

    A link with the suffix of a file stands for no class.
    """
    lost = []
    for folder in folders:
        with os.scandir(folder) as entries:
            links = [e for e in entries if e.is_symlink() and not is_system(e.name) and not os.path.exists(e.path)]
        lost += [f"{e.path} -> {os.readlink(e.path)}" for e in links if _suffix(e) not in SUFFIXES | _NO_IMAGES]
    if lost:
        first = "".join(f"\n  {link}" for link in sorted(lost)[:_LINKS])
        more = f"\n  ... and {len(lost) - _LINKS:,} more" if len(lost) > _LINKS else ""
        raise UserError(
            f"links of class folders lead nowhere:{first}{more}\nis the disk mounted? else remove the links"
        )


def is_hidden_class(entry: os.DirEntry[str]) -> bool:
    """Whether the entry is a hidden folder, of no system that is known, with images: `.net` may be meant as a class."""
    if not entry.name.startswith(".") or entry.name.lower() in _SYSTEM or not is_folder(entry):
        return False
    return _holds_images(entry.path)


def images_outside(folder: Path | str) -> list[str]:
    """The names of the image files directly in `folder`, and of the folders with images other than `images`, sorted."""
    folders = [e for e in os.scandir(folder) if is_folder(e) and e.name != "images" and not is_system(e.name)]
    return sorted([*images_in(folder), *(f"{entry.name}/" for entry in folders if _holds_images(entry.path))])


def _holds_images(folder: str) -> bool:
    return any(images_in(inside) for inside, _, _ in os.walk(folder))


def images_in(folder: Path | str) -> list[str]:
    """The names of the image files directly in `folder`, sorted. Those that OpenCV cannot read are among them."""
    names = []
    for entry in os.scandir(folder):
        suffix = _suffix(entry)
        if not is_system(entry.name) and suffix not in _NO_IMAGES and _is_file(entry):
            names += [entry.name] if suffix in SUFFIXES | _PHOTOGRAPHS or _has_reader(entry.path) else []
    return sorted(names)


def _can_be_opened(file: str) -> bool:
    try:
        with open(file, "rb"):
            return True
    except OSError:
        return False


def _leads_to_itself(entry: os.DirEntry[str]) -> bool:
    try:
        os.stat(entry.path)
    except OSError as error:
        return error.errno == errno.ELOOP
    return False


def _has_reader(file: str) -> bool:
    import cv2  # and numpy: few data sets have a file that must be opened to know what it is

    name = os.fsencode(file)  # a str that is not UTF-8 ends the process
    return cv2.haveImageReader(name)  # type: ignore[arg-type]


def _suffix(entry: os.DirEntry[str]) -> str:
    _, dot, end = entry.name.rpartition(".")
    return dot + end.lower() if dot else ""


def is_folder(entry: os.DirEntry[str]) -> bool:
    """Whether the entry is a folder, or a link to one."""
    try:
        return entry.is_dir()
    except OSError:  # a link to itself
        return False


def _is_file(entry: os.DirEntry[str]) -> bool:
    try:
        return entry.is_file()
    except OSError:
        return False


def _kinds(what: str, names: list[str]) -> list[str]:
    """A sentence on these files, with the number of every suffix; none if there are none."""
    suffixes = Counter(Path(name).suffix.lower() or "no suffix" for name in names)
    kinds = ", ".join(f"{shown(suffix)} ({count:,})" for suffix, count in suffixes.most_common(5))
    return [f"{what}: {kinds}"] if kinds else []


def note(what: str, names: list[str]) -> list[str]:
    """A sentence on these files or folders, with their number and the first names; none if there are none."""
    first = ", ".join(map(shown, names[:_SHOWN])) + (", ..." if len(names) > _SHOWN else "")
    return [f"{what}: {len(names):,} ({first})"] if names else []
