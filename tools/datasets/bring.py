"""Fetches a data set: from a folder or archive that the user names, from Debian's package, or from its publisher."""

import gzip
import hashlib
import shutil
import subprocess
import zlib
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tools.common.checkout import CHECKOUT
from tools.common.errors import UserError
from tools.common.files import write_atomic
from tools.datasets import find_in, named_folder
from tools.datasets.download import download, md5, require_disk
from tools.datasets.unpack import unpacked
from tools.protocol.experiment import Experiment
from tools.protocol.register import Card, Debian, Remote, card

ROOT = Path("/")  # where Debian's packages install their files
_CHUNK, _MOST_CHUNKS = 1 << 20, 1 << 12  # of an unpacked file: 4 GiB, for gzip makes gigabytes of a few KB
UNPACKED = "unpacked-"  # how the folders of unpacked archives begin
GET_DEB = CHECKOUT / "setup" / "get_deb.sh"


@dataclass
class Brought:
    """The data set's folder, and a record of every file that it came from."""

    folder: Path
    files: list[dict[str, Any]] = field(default_factory=list)

    def add(self, file: Path, source: str) -> None:
        record = {"name": file.name, "from": source, "bytes": file.stat().st_size, "md5": md5(file)}
        self.files.append(record)


def bring(exp: Experiment, folder: Path) -> Brought:
    """Fetches the data set of `exp` into `folder` (data/<dataset>), or uses the one at `path:`. Raises UserError."""
    named = named_folder(exp)
    if named is not None:
        return Brought(named.resolve())
    about = card(exp.dataset)
    if exp.path is not None:
        return _named_archive(exp, about, Path(exp.path), folder)
    if about.archive is not None:
        return _published_archive(exp.dataset, about, folder)
    return _published_files(about, folder)


def _named_archive(exp: Experiment, about: Card, archive: Path, folder: Path) -> Brought:
    assert about.published_archive is not None  # named_folder has looked
    published, _ = about.published_archive
    digest = md5(archive)
    if digest != published.md5:
        print(f"note: {archive} is not the published {published.name} (md5 {digest}); used because path names it")
    brought = Brought(_unpack(exp.dataset, about, archive, digest, folder))
    brought.add(archive, str(archive.resolve()))
    return brought


def _published_archive(dataset: str, about: Card, folder: Path) -> Brought:
    assert about.published_archive is not None
    published, archive = about.published_archive
    unpacked_before = _dataset_in(dataset, _unpacked_as(folder, published.md5))
    if unpacked_before is not None:
        return Brought(unpacked_before)  # whole, because it appeared by rename; only fetch.json was missing
    present = sum(f.stat().st_size for f in folder.glob(f"{published.name}*") if f.suffix != ".bad")
    download_bytes = max(0, (published.bytes or 0) - present)
    size = f"{download_bytes / 1e6:,.0f} MB" if published.bytes else "an archive whose publisher gives no size"
    print(f"{about.title}: downloads {size}, takes {archive.disk / 1e6:,.0f} MB more unpacked. {about.terms}")
    require_disk(folder, download_bytes + archive.disk, about.title)
    sources = {file.name: download(file, folder / file.name) for file in about.files}
    brought = Brought(_unpack(dataset, about, folder / published.name, published.md5, folder))
    for name, source in sources.items():
        brought.add(folder / name, source)
    return brought


def _unpacked_as(folder: Path, digest: str) -> Path:
    """The folder for the unpacked archive, named by its checksum, so that another archive gets another folder."""
    return folder / f"{UNPACKED}{digest[:8]}"


def _unpack(dataset: str, about: Card, file: Path, digest: str, folder: Path) -> Path:
    """Unpacks `file` below `folder`, and adds the card's lists if it has none; returns the data set's folder."""
    assert about.published_archive is not None
    published, archive = about.published_archive
    target = _unpacked_as(folder, digest)
    for leftover in folder.glob(f".{target.name}.*"):  # of an unpacking that was killed
        shutil.rmtree(leftover)
    place = _dataset_in(dataset, target)
    if place is None:
        share = min(1, file.stat().st_size / (published.bytes or file.stat().st_size))
        require_disk(folder, int(archive.disk * share), f"{file.name} unpacked")
        with unpacked(file, target, archive) as part:
            if find_in(dataset, part) is None:
                _add_lists(about, part, folder)
            if find_in(dataset, part) is None:
                raise UserError(f"{file}: has no {dataset} in it; right is {about.layout}")
        place = _dataset_in(dataset, target)
        assert place is not None
    return place


def _dataset_in(dataset: str, target: Path) -> Path | None:
    return find_in(dataset, target) if target.is_dir() else None


def _add_lists(about: Card, part: Path, folder: Path) -> None:
    """Puts the card's files other than the archive (MiniPlaces' lists) next to the folder images/."""
    for file in about.files:
        if about.archive is not None and file.name != about.archive.name:
            for images in [*part.glob("images"), *part.glob("*/images")][:1]:
                download(file, folder / file.name)
                shutil.copyfile(folder / file.name, images.parent / file.name)


def _published_files(about: Card, folder: Path) -> Brought:
    """The card's files, from the first source that has all: data/ itself, Debian's package, the publisher."""
    for source, place in _sources(about, folder):
        if place is not None and all(_has_content(place / file.name, file) for file in about.files):
            return _gather(about, place, folder, {file.name: source for file in about.files})
    sources = {file.name: download(file, folder / file.name) for file in about.files}
    return _gather(about, folder, folder, sources)


def _sources(about: Card, folder: Path) -> Iterator[tuple[str, Path | None]]:
    """(name for messages, folder of the files): data/ itself, Debian's installed package, the package unpacked here."""
    yield "already there", folder
    if about.debian is not None:
        yield f"Debian's package {about.debian.package}", ROOT / about.debian.folder
        yield f"Debian's package {about.debian.package}, unpacked", _unpack_debian(about, about.debian, folder)


def _gather(about: Card, place: Path, folder: Path, sources: dict[str, str]) -> Brought:
    """Copies the files from `place` into `folder`, and records where each came from."""
    brought = Brought(folder)
    for file in about.files:
        if place != folder:
            write_atomic(folder / file.name, (place / file.name).read_bytes())
        brought.add(folder / file.name, sources[file.name])
    shutil.rmtree(folder / "debian", ignore_errors=True)
    (folder / "debian.lock").unlink(missing_ok=True)
    return brought


def _unpack_debian(about: Card, debian: Debian, folder: Path) -> Path | None:
    """The package's files, unpacked below `folder`; None, with a note, if apt cannot bring it."""
    size = f"{sum(file.bytes or 0 for file in about.files) / 1e6:,.0f} MB"
    print(f"{about.title}: unpacking Debian's package {debian.package}, {size}", flush=True)
    process = subprocess.run([GET_DEB, debian.package, folder / "debian"], capture_output=True, text=True)
    if process.returncode:
        print(f"note: no package, so it is downloaded from its publisher ({process.stderr.strip()})", flush=True)
        return None
    return folder / "debian" / debian.folder


def _has_content(path: Path, file: Remote) -> bool:
    """Whether the gzipped file at `path` unpacks to the publisher's bytes."""
    digest = hashlib.sha256()
    try:
        with gzip.open(path) as unzipped:
            for _ in range(_MOST_CHUNKS):
                chunk = unzipped.read(_CHUNK)
                if not chunk:
                    return digest.hexdigest() == file.content_sha256
                digest.update(chunk)
    except (OSError, EOFError, zlib.error):
        return False
    return False
