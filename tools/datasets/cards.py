"""data/cards/<dataset>.yaml as typed objects: where a data set comes from, and what a right copy looks like."""

import csv

import yaml
from pydantic import BaseModel, ConfigDict

from tools.protocol.layout import template


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)


class Remote(_Strict):
    """A published file. md5 is of the file, content_sha256 of what gunzip makes of it."""

    name: str
    urls: list[str]  # tried in this order
    md5: str
    bytes: int | None = None  # None: its publisher gives no size
    content_sha256: str | None = None


class Archive(_Strict):
    """Which of the files is the archive, what it takes unpacked, and the most that it may unpack to."""

    name: str
    disk: int  # bytes on disk, blocks counted
    most_files: int
    most_bytes: int


class Debian(_Strict):
    package: str
    folder: str  # where the package puts the files, without the leading /


class Card(_Strict):
    title: str
    about: str
    terms: str
    layout: str
    counts: dict[str, int]  # classes, train, val
    files: list[Remote]
    names: list[str] | None = None
    debian: Debian | None = None
    archive: Archive | None = None

    @property
    def packed(self) -> Remote | None:
        """The archive, as one of the files."""
        return next((file for file in self.files if self.archive and file.name == self.archive.name), None)


def card(dataset: str) -> Card:
    return Card(**yaml.safe_load(template("data/cards", f"{dataset}.yaml").read_text(encoding="utf-8")))


def thesis_classes(dataset: str) -> dict[str, str] | None:
    """id -> name of every class in the thesis' appendices A and B; None for a data set that the thesis has not."""
    file = template("data/classes", f"{dataset}.csv")
    if not file.exists():
        return None
    with open(file, encoding="utf-8", newline="") as lines:
        return {row["id"]: row["name"] for row in csv.DictReader(lines)}


def check_classes(dataset: str, ids: list[str]) -> str:
    """One line that holds the class ids `ids` against the thesis' list."""
    known = thesis_classes(dataset)
    if known is None:
        return f"the thesis has no class list for {dataset}"
    unknown = sorted(set(ids) - set(known))
    there = len(set(ids) & set(known))
    line = f"{there} of {'the ' if there < len(known) else ''}{len(known)} classes of the thesis' list"
    if unknown:
        line += f"; unknown to it: {', '.join(unknown[:5])}" + (f" and {len(unknown) - 5} more" if unknown[5:] else "")
    return line
