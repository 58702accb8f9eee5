"""The register of data sets: the card data/cards/NAME.yaml registers a data set; nothing else is needed.

    card("tiny-imagenet").reader      # tiny_imagenet.TinyImageNet: the class in tools/datasets/ that reads it
    card("tiny-imagenet").counts      # {"classes": 200, "train": 100000, "val": 10000}

The experiment's schema, the claims, `fetch`, `doctor` and the figures all ask here. CONTRIBUTING.md says
how a data set is added.
"""

import csv
from functools import cache
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator
from pydantic_core import ErrorDetails

from tools.common.checkout import CHECKOUT, own_file
from tools.common.errors import UserError
from tools.common.yaml_file import YamlFile, read_yaml

CARDS = "data/cards"


Count = Annotated[int, Field(ge=0)]
FileName = Annotated[str, Field(pattern=r"^[^./][^/]*$")]


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)


class Remote(_Strict):
    """A published file. md5 is that of the file, content_sha256 that of the file after gunzip."""

    name: FileName
    urls: list[str] = Field(min_length=1)  # tried in this order
    md5: str
    bytes: Count | None = None  # None: its publisher gives no size
    content_sha256: str | None = None


class Archive(_Strict):
    """Which of the files is the archive, the disk space that it takes unpacked, and the limits of unpacking."""

    name: FileName
    disk: Count  # bytes on disk, blocks counted
    most_files: Count
    most_bytes: Count


class Debian(_Strict):
    """Debian's package of the data set."""

    package: str
    folder: str  # where the package puts the files, without the leading /


class Space(_Strict):
    """Disk space of the data set's experiment, in GB for each split seed."""

    lmdbs: float
    models: float  # of all its runs, with keep_models: all


class Card(_Strict):
    """The description of a data set: what it is, its source, and the checksums and counts of a correct copy.

    One without `files` is not published: every folder that `path:` names is a separate data set (`folder`).
    """

    title: str
    about: str
    terms: str
    layout: str  # what its folder holds; messages quote it
    reader: Annotated[str, Field(pattern=r"^[a-z_]\w*\.[A-Z]\w*$")]  # module.Class in tools/datasets/
    experiment: str | None = None  # the file of experiments/ that brings it and needs `space`
    space: Space | None = None
    counts: dict[Literal["classes", "train", "val"], Count] = {}
    files: list[Remote] = []
    names: list[str] | None = None
    samples: list[str] = []  # ids of the classes that figure 5.1 of the thesis shows
    publish_images: bool = True  # whether its terms let `publish` copy the figure of samples, which shows its images
    debian: Debian | None = None
    archive: Archive | None = None

    @model_validator(mode="after")
    def _fits_together(self) -> "Card":
        names = [file.name for file in self.files]
        if len(set(names)) < len(names):
            raise ValueError(f"files: {names} names one twice")
        if self.archive is not None and self.archive.name not in names:
            raise ValueError(
                f"archive: {self.archive.name} is none of the files; there are {', '.join(names) or 'none'}"
            )
        if self.files and len(self.counts) < 3:
            raise ValueError("counts: a published data set has classes, train and val")
        return self

    @property
    def is_published(self) -> bool:
        return bool(self.files)

    @property
    def published_archive(self) -> tuple[Remote, Archive] | None:
        """The file that is the archive, and its entry `archive`; None for a data set without an archive."""
        archive = self.archive
        if archive is None:
            return None
        return next(file for file in self.files if file.name == archive.name), archive


def datasets() -> list[str]:
    """The name of every registered data set, sorted."""
    return sorted({path.stem for root in (Path(), CHECKOUT) for path in (root / CARDS).glob("*.yaml")})


def card(dataset: str) -> Card:
    """The card in the current folder, or else the checkout's.

    A key that the current folder's card lacks is taken from the checkout's card of the same name: so a folder of data
    with an older card still works. Raises UserError, with the card's line, for a data set without a card or a card with
    a mistake.
    """
    file = own_file(CARDS, f"{dataset}.yaml")
    return _read_card(file, Path.cwd(), file.stat().st_mtime_ns if file.is_file() else None)


@cache
def _read_card(file: Path, cwd: Path, modified: int | None) -> Card:
    """Read once as long as the file is the same: every path of an experiment asks for it."""
    content = read_yaml(file, "a data set's card", f"{CARDS}/tiny-imagenet.yaml")
    published = CHECKOUT / CARDS / file.name
    defaults = read_yaml(published, "a data set's card", str(file)).values if published.is_file() else {}
    try:
        return Card(**defaults | content.values)
    except ValidationError as error:
        raise UserError("\n".join(_explain(content, e) for e in error.errors())) from None


def _explain(content: YamlFile, error: ErrorDetails) -> str:
    where = "".join(f"{step}." for step in error["loc"]).rstrip(".")
    given = "" if isinstance(error["input"], (dict, list, Card)) else f"found {error['input']!r}; "
    message = str(error.get("ctx", {}).get("error", error["msg"]))
    return f"{content.place(*error['loc'])}: {where + ': ' if where else ''}{given}{message}"


def check_name(dataset: Any) -> Any:
    """A pydantic validator. Raises ValueError for a name that is not registered."""
    if dataset not in datasets():
        raise ValueError(f"no such data set; {CARDS}/ has {', '.join(datasets())}")
    return dataset


def thesis_classes(dataset: str) -> dict[str, str] | None:
    """id -> name of every class in the thesis' appendices A and B; None for a data set that the thesis does not use."""
    file = own_file("data/classes", f"{dataset}.csv")
    if not file.exists():
        return None
    with open(file, encoding="utf-8", newline="") as lines:
        return {row["id"]: row["name"] for row in csv.DictReader(lines)}


def check_classes(dataset: str, ids: list[str]) -> str:
    """One line that compares the class ids `ids` with the thesis' list."""
    listed = thesis_classes(dataset)
    if listed is None:
        return f"the thesis has no class list for {dataset}"
    unknown = sorted(set(ids) - set(listed))
    present = len(set(ids) & set(listed))
    line = f"{present} of {'the ' if present < len(listed) else ''}{len(listed)} classes of the thesis' list"
    if unknown:
        line += f"; unknown to it: {', '.join(unknown[:5])}" + (f" and {len(unknown) - 5} more" if unknown[5:] else "")
    return line
