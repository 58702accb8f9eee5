"""What a benchmark measured is kept with where, when and of what; a part that measured nothing changes nothing."""

import json
from pathlib import Path

from benchmarks.record import Measuring, records


def test_a_record_says_what_was_measured_and_where(tmp_path: Path) -> None:
    measuring = Measuring("parse")
    measuring.table("A log", ["program", "s"], [["tools parse", "1.5"]])
    measuring.note("It is 3.1 times as fast.")
    assert measuring.write(tmp_path) == tmp_path / "parse.json"
    record = records(tmp_path)["parse"]
    assert record["tables"] == [{"title": "A log", "columns": ["program", "s"], "rows": [["tools parse", "1.5"]]}]
    assert record["notes"] == ["It is 3.1 times as fast."]
    assert record["cores"] >= 1 and record["load_before"] >= 0 and record["date"].endswith("UTC")


def test_a_part_that_measured_nothing_leaves_the_earlier_record(tmp_path: Path) -> None:
    (tmp_path / "page.json").write_text(json.dumps({"part": "page"}))
    Measuring("page").write(tmp_path)
    assert records(tmp_path) == {"page": {"part": "page"}}
