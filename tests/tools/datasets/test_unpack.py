"""Unpacking: what an archive from elsewhere may contain, and what is refused."""

import gzip
import io
import tarfile
import tempfile
import zipfile
from pathlib import Path

import pytest
from hypothesis import given

from tests.helpers.damaged_files import bounds, damaged, quick
from tools.common.errors import UserError
from tools.datasets.unpack import unpacked
from tools.protocol.register import Archive

LIMITS = Archive(name="a.zip", disk=0, most_files=20, most_bytes=1_000_000)


def unpack(archive: Path) -> Path:
    """Unpacks beside the archive; returns the folder."""
    folder = archive.parent / "unpacked"
    with unpacked(archive, folder, LIMITS):
        assert not folder.exists(), "the folder appears by rename, whole"
    return folder


def a_zip(path: Path, *entries: tuple[str | zipfile.ZipInfo, bytes]) -> Path:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in entries:
            archive.writestr(name, data)
    return path


def a_tar(path: Path, *members: tarfile.TarInfo, mode: str = "w:gz") -> Path:
    """A tar whose regular members hold as many bytes `x` as their size says."""
    with tarfile.open(path, mode) as archive:
        for member in members:
            archive.addfile(member, io.BytesIO(b"x" * member.size) if member.isreg() else None)
    return path


def member(name: str, size: int = 3, kind: bytes = tarfile.REGTYPE, target: str = "") -> tarfile.TarInfo:
    info = tarfile.TarInfo(name)
    info.size, info.type, info.linkname = size if kind == tarfile.REGTYPE else 0, kind, target
    return info


def assert_refused(archive: Path, message: str) -> None:
    """One error that matches, and nothing is left but the archive: not beside it, not above it."""
    before = sorted(archive.parent.parent.rglob("*"))
    with pytest.raises(UserError, match=message) as error:
        unpack(archive)
    assert str(archive) in str(error.value)
    assert sorted(archive.parent.parent.rglob("*")) == before


@pytest.fixture
def here(tmp_path: Path) -> Path:
    """Two levels down, so that a file which climbs out is seen."""
    folder = tmp_path / "outer" / "inner"
    folder.mkdir(parents=True)
    return folder


def test_a_zip_gives_its_files_and_folders(here: Path) -> None:
    folder = unpack(a_zip(here / "a.zip", ("top/", b""), ("top/train/x.JPEG", b"one"), ("top/empty/", b"")))
    assert (folder / "top/train/x.JPEG").read_bytes() == b"one"
    assert (folder / "top/empty").is_dir()
    assert sorted(f.name for f in here.iterdir()) == ["a.zip", "unpacked"]


@pytest.mark.parametrize("mode", ["w", "w:gz", "w:bz2", "w:xz"])
def test_a_tar_of_any_compression_gives_its_files(here: Path, mode: str) -> None:
    members = member("./images", kind=tarfile.DIRTYPE), member("./images/a b.jpg", 5)
    archive = a_tar(here / "data.tar.gz", *members, mode=mode)
    assert (unpack(archive) / "images/a b.jpg").read_bytes() == b"xxxxx"


def test_modes_and_owners_are_not_taken_over(here: Path) -> None:
    info = member("run.sh")
    info.mode, info.uid = 0o6777, 4321
    file = unpack(a_tar(here / "a.tar", info, mode="w")) / "run.sh"
    assert file.stat().st_mode & 0o6111 == 0
    assert file.stat().st_uid != 4321


@pytest.mark.parametrize("name", ["../evil", "a/../../evil", "/tmp/evil", "a/.."])
def test_a_path_that_leads_out_is_refused_in_zip_and_tar(here: Path, name: str) -> None:
    assert_refused(a_zip(here / "a.zip", ("fine", b"x"), (name, b"x")), "leads out of its folder")
    assert_refused(a_tar(here / "a.tar.gz", member("fine"), member(name)), "leads out of its folder")


def test_a_symbolic_link_in_a_zip_is_refused(here: Path) -> None:
    link = zipfile.ZipInfo("link")
    link.external_attr = 0o120777 << 16
    assert_refused(a_zip(here / "a.zip", (link, b"/etc"), ("link/passwd", b"x")), "holds a link, 'link'")


@pytest.mark.parametrize(
    ("kind", "what"),
    [
        (tarfile.SYMTYPE, "link"),
        (tarfile.LNKTYPE, "link"),
        (tarfile.CHRTYPE, "device"),
        (tarfile.BLKTYPE, "device"),
        (tarfile.FIFOTYPE, "device"),
    ],
    ids=["symbolic link", "hard link", "character device", "block device", "pipe"],
)
def test_a_tar_with_anything_but_files_is_refused(here: Path, kind: bytes, what: str) -> None:
    assert_refused(a_tar(here / "a.tar.gz", member("one", kind=kind, target="/etc/passwd")), f"holds a {what}, 'one'")


def test_a_bomb_of_bytes_is_refused_before_it_is_written(here: Path) -> None:
    assert_refused(a_zip(here / "a.zip", ("zeros", bytes(1_000_001))), "more than 20 files or 1,000,000 bytes")
    assert_refused(a_tar(here / "a.tar.gz", member("a", 600_000), member("b", 600_000)), "more than 20 files")


def test_a_bomb_of_files_is_refused(here: Path) -> None:
    assert_refused(a_zip(here / "a.zip", *((f"f{i}", b"") for i in range(21))), "more than 20 files")


def test_a_zip_that_lies_about_a_size_is_refused(here: Path) -> None:
    archive = a_zip(here / "a.zip", ("big", bytes(500_000)))
    data = archive.read_bytes()
    archive.write_bytes(data.replace((500_000).to_bytes(4, "little"), (10).to_bytes(4, "little")))
    assert_refused(archive, "cannot be unpacked: Bad CRC-32")


def test_a_name_twice_is_refused(here: Path) -> None:
    assert_refused(a_tar(here / "a.tar.gz", member("one"), member("one")), "holds 'one' twice")
    assert_refused(a_tar(here / "b.tar.gz", member("one"), member("one/two")), "holds 'one/two' twice")


@pytest.mark.parametrize("name", ["a.zip", "a.tar.gz"])
def test_a_cut_off_archive_is_refused(here: Path, name: str) -> None:
    noise = bytes((i * i * 7919 >> 3) % 256 for i in range(50_000))
    whole = here / name
    if name.endswith("zip"):
        a_zip(whole, ("one", noise))
    else:
        with tarfile.open(whole, "w:gz") as archive:
            info = member("one", len(noise))
            archive.addfile(info, io.BytesIO(noise))
    whole.write_bytes(whole.read_bytes()[:-2000])
    assert_refused(whole, "cannot be unpacked|neither a zip nor a whole tar")


@pytest.mark.parametrize("mode", ["w", "w:gz"])
def test_a_tar_that_ends_between_two_files_is_told(here: Path, capsys: pytest.CaptureFixture, mode: str) -> None:
    """GNU tar takes it, and some programs write no mark at the end, so it may be whole."""
    data = a_tar(here / "a.tar", member("one"), member("two"), mode="w").read_bytes()
    for blocks, told in ((2, True), (4, True), (5, False), (6, False), (20, False)):  # a header and its data are two
        archive = here / f"{blocks}.tar"
        archive.write_bytes(gzip.compress(data[: blocks * 512]) if mode == "w:gz" else data[: blocks * 512])
        with unpacked(archive, here / f"{blocks}", LIMITS) as part:
            assert len(list(part.iterdir())) == min(2, blocks // 2)
        note = f"note: {archive} ends without the mark at the end of a tar: if it was cut off, files are missing\n"
        assert capsys.readouterr().out == (note if told else "")


def test_a_file_that_is_no_archive_is_refused(here: Path) -> None:
    (here / "a.zip").write_text("<html>404</html>")
    assert_refused(here / "a.zip", "neither a zip nor a whole tar archive")


def test_an_encrypted_zip_is_refused(here: Path) -> None:
    archive = a_zip(here / "a.zip", ("one", b"x" * 100))
    data = bytearray(archive.read_bytes())
    data[6] |= 1
    data[data.index(b"PK\x01\x02") + 8] |= 1
    archive.write_bytes(data)
    assert_refused(archive, "encrypted")


def test_a_tar_whose_header_unpacks_to_gigabytes_is_refused_within_bounds(here: Path) -> None:
    """A member's long name, or its list of dates and owners, which tarfile reads into memory whole."""
    for kind in (tarfile.GNUTYPE_LONGNAME, tarfile.XHDTYPE, tarfile.XGLTYPE):
        info = tarfile.TarInfo("x")
        info.type, info.size = kind, 1 << 30
        (here / "a.tgz").write_bytes(gzip.compress(info.tobuf() + bytes(1 << 20)))
        with bounds():
            assert_refused(here / "a.tgz", r"a.tgz: .*a header of 1,073,741,824 bytes")


@pytest.mark.parametrize("length", [300, 5000, 60_000])
def test_a_member_with_a_long_name_is_one_short_line(here: Path, length: int) -> None:
    for archive in (a_zip(here / "a.zip", ("x" * length, b"")), a_tar(here / "a.tgz", member("x" * length))):
        with pytest.raises(UserError, match="cannot be unpacked: File name too long") as error:
            unpack(archive)
        assert len(str(error.value)) < 400


SMALL_ZIP, SMALL_TAR = io.BytesIO(), io.BytesIO()
with zipfile.ZipFile(SMALL_ZIP, "w", zipfile.ZIP_DEFLATED) as to_fill:
    for path in ("d/a.txt", "d/\u732b.txt"):
        to_fill.writestr(path, "some text " * 20)
with tarfile.open(fileobj=SMALL_TAR, mode="w", format=tarfile.PAX_FORMAT) as to_fill_too:
    for path in ("d/a.txt", "d/\u732b.txt", "e" * 200):
        to_fill_too.addfile(member(path, 50), io.BytesIO(b"x" * 50))
ARCHIVES = [SMALL_ZIP.getvalue(), SMALL_TAR.getvalue()]
PIECES = [b"../", b"PK\5\6", b"\xff" * 8, b"x" * 512, bytes(512), b"99999999999", b"\xed\xa0\x80"]


@quick(150)
@given(data=damaged(ARCHIVES, PIECES))
def test_a_damaged_archive_is_unpacked_or_is_one_error(data: bytes) -> None:
    with tempfile.TemporaryDirectory() as folder, bounds():
        archive = Path(folder) / "a.zip"
        archive.write_bytes(data)
        try:
            unpack(archive)
        except UserError as error:
            assert str(archive) in str(error)
