"""The record of a walk: a walk that was stopped goes on from it, and looks again at what has changed."""

import os
from pathlib import Path

import pytest

from tools.common.files import read_json, sha256
from tools.verification import seen
from tools.verification.seen import Seen


@pytest.fixture
def record(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(seen, "_INTERVAL", 0.0)
    return tmp_path / "verify.json"


def test_a_second_walk_takes_the_result_of_the_first(record: Path, tmp_path: Path) -> None:
    file = tmp_path / "a.txt"
    file.write_text("one")
    assert Seen(record).sha256(file) == sha256(file)
    looks: list[int] = []
    assert Seen(record).result(str(file), [file], lambda: str(looks.append(1))) == sha256(file)
    assert looks == []


def test_a_file_that_changed_since_is_looked_at_again_though_its_size_and_time_are_as_before(
    record: Path, tmp_path: Path
) -> None:
    file = tmp_path / "a.txt"
    file.write_text("one")
    first, stat = Seen(record).sha256(file), file.stat()
    file.write_text("two")
    os.utime(file, ns=(stat.st_atime_ns, stat.st_mtime_ns))
    assert Seen(record).sha256(file) == sha256(file) != first


def test_at_the_end_the_record_goes(record: Path, tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text("one")
    walk = Seen(record)
    walk.sha256(tmp_path / "a.txt")
    assert read_json(record)
    (tmp_path / ".verify.json.1.part").touch()  # of a walk that was killed as it wrote
    walk.ended()
    assert [path.name for path in tmp_path.iterdir()] == ["a.txt"]


def test_a_record_that_is_no_json_or_of_another_form_is_looked_past(record: Path, tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text("one")
    for broken in ('{"', "[]", '{"a": 1}', f'{{"{tmp_path / "a.txt"}": {{"files": [], "result": 3}}}}'):
        record.write_text(broken)
        assert Seen(record).sha256(tmp_path / "a.txt") == sha256(tmp_path / "a.txt")
