"""A log in each packing gives the same lines, as often as it is read."""

import bz2
import gzip
import lzma
import tarfile
from pathlib import Path

import pytest

from tools.caffe_log.sources import LogSource

TEXT = "I0501 10:00:00.000000 1 solver.cpp:1] Solving é\r\nsecond\n"


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-16-le", "utf-16-be"])
@pytest.mark.parametrize("packed", [False, True], ids=["plain", "gzip"])
def test_the_lines_are_the_same_in_each_packing_and_can_be_read_again(encoding: str, packed: bool, tmp_path: Path):
    content = TEXT.encode(encoding)
    (tmp_path / "x").write_bytes(gzip.compress(content) if packed else content)
    source = LogSource(tmp_path / "x")
    assert list(source.lines()) == list(source.lines()) == TEXT.splitlines(keepends=True)


@pytest.mark.parametrize("content", [b"", b"a", b"\xff\xfe", b"\x00\x00\x00\x00", b"\xff\xfe\x00 caf\xe9\n", b"\x1f"])
def test_odd_beginnings_are_read_as_bytes_of_utf8_without_zeros(content: bytes, tmp_path: Path):
    (tmp_path / "x").write_bytes(content)
    assert "".join(LogSource(tmp_path / "x").lines()) == content.decode("utf-8", "replace").replace("\0", "")


@pytest.mark.parametrize("encoding", ["utf-16", "utf-16-le", "utf-16-be"])
@pytest.mark.parametrize("packed", [False, True], ids=["plain", "gzip"])
def test_a_log_in_two_encodings_has_the_lines_of_both(encoding: str, packed: bool, tmp_path: Path):
    first, second = (f"I0501 10:00:00.000000 1 solver.cpp:1] Iteration {n}, loss = 2\n" * 2 for n in (1, 2))
    for content in [first.encode() + second.encode(encoding), first.encode(encoding) + second.encode()]:
        (tmp_path / "x").write_bytes(gzip.compress(content) if packed else content)
        for parts in (LogSource(tmp_path / "x").lines(), LogSource(tmp_path / "x").texts()):
            assert "".join(parts).replace("\ufffd", "") == first + second


def test_a_cut_gzip_file_gives_its_lines_and_then_an_error(tmp_path: Path):
    content = gzip.compress("".join(f"{n}\n" for n in range(10_000)).encode())
    (tmp_path / "x").write_bytes(content[:-20])
    lines = LogSource(tmp_path / "x").lines()
    with pytest.raises(OSError, match="damaged or cut off"):
        list(lines)


@pytest.mark.parametrize("end", ["", "\n"])
def test_pieces_are_of_whole_lines_and_hold_the_whole_text(end: str, tmp_path: Path):
    text = "\n".join(f"{n} " + "é" * (n % 900) for n in range(1000)) + end
    (tmp_path / "x").write_bytes(gzip.compress(text.encode()))
    pieces = list(LogSource(tmp_path / "x").texts())
    assert "".join(pieces) == text and 1 < len(pieces) < 20
    assert all(piece.endswith("\n") for piece in pieces[:-1])


@pytest.mark.parametrize("packed", [False, True], ids=["plain", "gzip"])
def test_an_archive_is_refused_by_its_name(packed: bool, tmp_path: Path):
    with tarfile.open(tmp_path / "logs.tar", "w") as archive:
        archive.add(__file__, "a.log")
    tar = (tmp_path / "logs.tar").read_bytes()
    for kind, content in {"tar": tar, "xz": lzma.compress(b"a log"), "bzip2": bz2.compress(b"a log")}.items():
        (tmp_path / "x").write_bytes(gzip.compress(content) if packed else content)
        with pytest.raises(OSError, match=f"packed by {kind}"):
            list(LogSource(tmp_path / "x").lines())
