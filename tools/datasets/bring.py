"""Where a data set comes from: a folder or archive that the user names, Debian's package, or its publisher."""

import gzip
import hashlib
import shutil
import subprocess
import zlib
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tools.common.errors import UserError
from tools.common.files import write_atomic
from tools.datasets import KINDS, find_in, named_folder
from tools.datasets.cards import Card, Remote, card
from tools.datasets.download import download, md5, require_disk
from tools.datasets.unpack import unpacked
from tools.protocol.experiment import Experiment
from tools.protocol.layout import CHECKOUT

ROOT = Path("/")  # where Debian's packages install their files
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
    """Brings the data set of `exp` into `folder` (data/<dataset>), or finds it where `path:` says. Raises UserError."""
    named = named_folder(exp)
    if named is not None:
        return Brought(named.resolve())
    if exp.path is not None:
        return _named_archive(exp, folder)
    if exp.dataset == "fashion-mnist":
        return _fashion_mnist(card(exp.dataset), folder)
    return _published_archive(exp.dataset, folder)


def _named_archive(exp: Experiment, folder: Path) -> Brought:
    archive = Path(exp.path)
    about = None if exp.dataset == "folder" else card(exp.dataset)
    if about is None or about.packed is None:
        raise exp.fault("path", f"{archive} is a file", f"name a folder with {KINDS[exp.dataset].layout}")
    digest = md5(archive)
    if digest != about.packed.md5:
        print(f"note: {archive} is not the published {about.packed.name} (md5 {digest}); taken because path names it")
    brought = Brought(_unpack(exp.dataset, about, archive, digest, folder))
    brought.add(archive, str(archive.resolve()))
    return brought


def _published_archive(dataset: str, folder: Path) -> Brought:
    about = card(dataset)
    place = _there(dataset, _unpacked_as(folder, about.packed.md5))
    if place is not None:
        return Brought(place)  # whole, for it came by rename; only fetch.json was missing
    have = sum(f.stat().st_size for f in folder.glob(f"{about.packed.name}*") if f.suffix != ".bad")
    load = max(0, (about.packed.bytes or 0) - have)
    size = f"{load / 1e6:,.0f} MB" if about.packed.bytes else "an archive whose size its publisher does not tell"
    print(f"{about.title}: downloads {size}, takes {about.archive.disk / 1e6:,.0f} MB more unpacked. {about.terms}")
    require_disk(folder, load + about.archive.disk, about.title)
    sources = {file.name: download(file, folder / file.name) for file in about.files}
    brought = Brought(_unpack(dataset, about, folder / about.packed.name, about.packed.md5, folder))
    for name, source in sources.items():
        brought.add(folder / name, source)
    return brought


def _unpacked_as(folder: Path, digest: str) -> Path:
    """The archive's checksum is in the folder's name, so that another archive never passes for it."""
    return folder / f"unpacked-{digest[:8]}"


def _unpack(dataset: str, about: Card, archive: Path, digest: str, folder: Path) -> Path:
    """Unpacks `archive` below `folder`, with the card's lists where it brings none; returns the data set's folder."""
    target = _unpacked_as(folder, digest)
    for killed in folder.glob(f".{target.name}.*"):
        shutil.rmtree(killed)
    if _there(dataset, target) is None:
        part_of_it = min(1, archive.stat().st_size / (about.packed.bytes or archive.stat().st_size))
        require_disk(folder, int(about.archive.disk * part_of_it), f"{archive.name} unpacked")
        with unpacked(archive, target, about.archive) as part:
            if find_in(dataset, part) is None:
                _add_lists(about, part, folder)
            if find_in(dataset, part) is None:
                raise UserError(f"{archive}: unpacks to no {dataset}; right is {KINDS[dataset].layout}")
    return _there(dataset, target)


def _there(dataset: str, target: Path) -> Path | None:
    return find_in(dataset, target) if target.is_dir() else None


def _add_lists(about: Card, part: Path, folder: Path) -> None:
    """Puts the card's files that are not the archive (MiniPlaces' lists) beside the folder images/."""
    for file in about.files:
        if file != about.packed:
            for images in [*part.glob("images"), *part.glob("*/images")][:1]:
                download(file, folder / file.name)
                shutil.copyfile(folder / file.name, images.parent / file.name)


def _fashion_mnist(about: Card, folder: Path) -> Brought:
    """The four files, from the first source that has them all: data/ itself, Debian's package, the publisher."""
    for source, place in (
        ("already there", lambda: folder),
        (f"Debian's package {about.debian.package}", lambda: ROOT / about.debian.folder),
        (f"Debian's package {about.debian.package}, unpacked", lambda: _debian(about, folder)),
    ):
        here = place()
        if here is not None and all(_has_content(here / file.name, file) for file in about.files):
            return _taken(about, here, folder, {file.name: source for file in about.files})
    sources = {file.name: download(file, folder / file.name) for file in about.files}
    return _taken(about, folder, folder, sources)


def _taken(about: Card, here: Path, folder: Path, sources: dict[str, str]) -> Brought:
    brought = Brought(folder)
    for file in about.files:
        if here != folder:
            write_atomic(folder / file.name, (here / file.name).read_bytes())
        brought.add(folder / file.name, sources[file.name])
    shutil.rmtree(folder / "debian", ignore_errors=True)
    (folder / "debian.lock").unlink(missing_ok=True)
    return brought


def _debian(about: Card, folder: Path) -> Path | None:
    """The package's files, unpacked below `folder`; None, with a note, where apt cannot bring it."""
    print(f"{about.title}: unpacking Debian's package {about.debian.package}, 31 MB", flush=True)
    done = subprocess.run([GET_DEB, about.debian.package, folder / "debian"], capture_output=True, text=True)
    if done.returncode:
        print(f"note: no package, so it is downloaded from its publisher ({done.stderr.strip()})", flush=True)
        return None
    return folder / "debian" / about.debian.folder


def _has_content(path: Path, file: Remote) -> bool:
    """Whether the gzipped file at `path` unpacks to what the publisher's does."""
    try:
        return hashlib.sha256(gzip.decompress(path.read_bytes())).hexdigest() == file.content_sha256
    except (OSError, EOFError, zlib.error):
        return False
