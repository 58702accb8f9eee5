"""Downloads from a real web server on this machine."""

import hashlib
from pathlib import Path

import pytest
from urllib3.util import Retry

from tests.helpers.file_server import FileServer
from tools.common.errors import UserError
from tools.datasets import download as module
from tools.datasets.download import download, require_disk
from tools.protocol.register import Remote

DATA = bytes(range(256)) * 4000  # 1 MB


@pytest.fixture(autouse=True)
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """No pauses between attempts; as many attempts as ever."""
    monkeypatch.setattr(module, "PAUSE", 0)
    monkeypatch.setattr(
        module, "RETRY", Retry(total=3, backoff_factor=0, status_forcelist=(500,), raise_on_status=False)
    )


def remote(server: FileServer, data: bytes = DATA, size: int | None = len(DATA)) -> Remote:
    """The card's entry for `data`, which the server has."""
    server.files.setdefault("a.zip", data)
    return Remote(name="a.zip", urls=[f"{server.url}/a.zip"], bytes=size, md5=hashlib.md5(data).hexdigest())


def test_a_file_arrives_whole_and_no_part_stays(server: FileServer, tmp_path: Path) -> None:
    source = download(remote(server), tmp_path / "a.zip")
    assert (tmp_path / "a.zip").read_bytes() == DATA
    assert source == f"{server.url}/a.zip"
    assert [f.name for f in tmp_path.iterdir()] == ["a.zip"]


def test_a_part_of_an_earlier_call_is_gone_on_with(server: FileServer, tmp_path: Path) -> None:
    (tmp_path / "a.zip.part").write_bytes(DATA[:300_000])
    download(remote(server), tmp_path / "a.zip")
    assert server.asked == [("a.zip", "bytes=300000-")]
    assert (tmp_path / "a.zip").read_bytes() == DATA


@pytest.mark.parametrize("size", [len(DATA), None], ids=["size known", "size not in the card"])
def test_a_connection_that_closes_early_is_resumed_in_the_same_call(
    server: FileServer, tmp_path: Path, size: int | None
) -> None:
    server.cuts = [100_000, 200_000]
    download(remote(server, size=size), tmp_path / "a.zip")
    assert [span for _, span in server.asked] == [None, "bytes=100000-", "bytes=300000-"]
    assert (tmp_path / "a.zip").read_bytes() == DATA


def test_a_server_without_ranges_sends_the_whole_again(server: FileServer, tmp_path: Path) -> None:
    server.ranges = False
    (tmp_path / "a.zip.part").write_bytes(b"other bytes")
    download(remote(server), tmp_path / "a.zip")
    assert (tmp_path / "a.zip").read_bytes() == DATA


def test_a_server_that_always_closes_at_the_same_byte_is_given_up_and_the_part_kept(
    server: FileServer, tmp_path: Path
) -> None:
    server.ranges, server.cuts = False, [1000] * 20
    with pytest.raises(UserError, match=r"broke 4 times at 1,000 bytes.*\n.*by hand.*a\.zip\.part") as error:
        download(remote(server), tmp_path / "a.zip")
    assert server.url in str(error.value)
    assert (tmp_path / "a.zip.part").read_bytes() == DATA[:1000]
    assert len(server.asked) == 5  # one that brought something, and four that brought no more


@pytest.mark.parametrize("size", [len(DATA), None], ids=["size known", "size not in the card"])
def test_a_part_that_is_whole_already_is_only_checked(server: FileServer, tmp_path: Path, size: int | None) -> None:
    (tmp_path / "a.zip.part").write_bytes(DATA)
    download(remote(server, size=size), tmp_path / "a.zip")
    assert (tmp_path / "a.zip").read_bytes() == DATA
    assert len(server.asked) == (0 if size else 1)


@pytest.mark.parametrize("size", [len(DATA), None], ids=["size known", "size not in the card"])
def test_a_part_longer_than_the_file_is_thrown_away(server: FileServer, tmp_path: Path, size: int | None) -> None:
    (tmp_path / "a.zip.part").write_bytes(DATA + b"more")
    download(remote(server, size=size), tmp_path / "a.zip")
    assert (tmp_path / "a.zip").read_bytes() == DATA


def test_a_wrong_checksum_keeps_the_file_aside_and_the_next_call_downloads_afresh(
    server: FileServer, tmp_path: Path
) -> None:
    right = remote(server)
    server.files["a.zip"] = DATA[:-1] + b"!"
    with pytest.raises(UserError, match=r"md5 [0-9a-f]{32}, should be [0-9a-f]{32}.*kept as .*a\.zip\.bad"):
        download(right, tmp_path / "a.zip")
    assert [f.name for f in tmp_path.iterdir()] == ["a.zip.bad"]
    assert (tmp_path / "a.zip.bad").read_bytes() == DATA[:-1] + b"!"
    server.files["a.zip"] = DATA
    download(right, tmp_path / "a.zip")
    assert (tmp_path / "a.zip").read_bytes() == DATA


def test_a_page_of_another_size_is_refused_before_it_is_downloaded(server: FileServer, tmp_path: Path) -> None:
    right = remote(server)
    server.files["a.zip"] = b"<html>please log in</html>"
    with pytest.raises(UserError, match=r"the server's file has 26 bytes, the published one 1,024,000"):
        download(right, tmp_path / "a.zip")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(("status", "requests"), [(404, 1), (500, 4)], ids=["404 at once", "500 after three retries"])
def test_an_error_status_is_one_error_with_url_and_what_to_do(
    server: FileServer, tmp_path: Path, status: int, requests: int
) -> None:
    right = remote(server)
    server.status = status
    with pytest.raises(UserError) as error:
        download(right, tmp_path / "a.zip")
    text = str(error.value)
    assert f"{server.url}/a.zip: HTTP {status}" in text
    assert f"Put a copy of it at {tmp_path / 'a.zip'} by hand" in text
    assert "path=" in text
    assert len(server.asked) == requests


def test_a_server_that_is_down_is_one_error_without_the_libraries_wrappers(server: FileServer, tmp_path: Path) -> None:
    right = remote(server)
    server.close()
    with pytest.raises(UserError, match=r"Connection refused") as error:
        download(right, tmp_path / "a.zip")
    assert "Max retries" not in str(error.value)


def test_the_next_url_is_tried_where_one_refuses(server: FileServer, tmp_path: Path) -> None:
    right = remote(server)
    two = right.model_copy(update={"urls": [f"{server.url}/gone.zip", *right.urls]})
    assert download(two, tmp_path / "a.zip") == right.urls[0]


def test_a_file_put_there_by_hand_is_used_without_a_request(server: FileServer, tmp_path: Path) -> None:
    (tmp_path / "a.zip").write_bytes(DATA)
    assert download(remote(server), tmp_path / "a.zip") == "already there"
    assert server.asked == []


def test_a_wrong_file_put_there_by_hand_is_kept_aside(server: FileServer, tmp_path: Path) -> None:
    (tmp_path / "a.zip").write_bytes(b"mine")
    with pytest.raises(UserError, match=r"4 bytes, should be 1,024,000.*path=.*a\.zip\.bad"):
        download(remote(server), tmp_path / "a.zip")
    assert (tmp_path / "a.zip.bad").read_bytes() == b"mine"


def test_more_than_the_disk_has_is_refused_with_both_figures(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"needs 1,000,000,000,000 MB of disk, [\d,]+ MB are free"):
        require_disk(tmp_path, 10**18, "tiny-imagenet")
