"""docs/benchmarks.md is what the records give, and says of each part when, where and of what it was measured."""

from pathlib import Path

from benchmarks.record import records
from benchmarks.speed_page import PARTS, page

RECORD = {
    "part": "parse",
    "date": "2026-01-02 03:04 UTC",
    "seconds": 40,
    "commit": "0123456789+",
    "processor": "A Processor",
    "cores": 2,
    "load_before": 0.5,
    "load_after": 2.0,
    "tables": [{"title": "A log", "columns": ["program", "s"], "rows": [["tools parse", "1.5"], ["other", "4"]]}],
    "notes": ["A note."],
}


def test_the_page_is_made_of_the_records(checkout: Path) -> None:
    """Nothing in it is typed by hand."""
    assert (checkout / "docs/benchmarks.md").read_text(encoding="utf-8") == page(records(checkout / "docs/benchmarks"))


def test_a_part_has_its_own_date_commit_and_load_and_one_that_is_missing_says_so() -> None:
    text = page({"parse": RECORD})
    said = "`make bench PART=parse` on 2026-01-02 03:04 UTC, commit 0123456789+, 2 cores of A Processor, load 0.5 at"
    assert said in " ".join(text.split())
    assert "A log:\n\n| program | s |\n|---|---|\n| tools parse | 1.5 |\n| other | 4 |\n\nA note.\n" in text
    assert text.count("Not measured yet") == len(PARTS) - 1 and "`make bench PART=sweep`" in text
    assert max(map(len, text.splitlines())) <= 120


def test_every_part_is_one_of_make_bench(checkout: Path) -> None:
    (line,) = (line for line in (checkout / "Makefile").read_text().splitlines() if line.startswith("PARTS := "))
    assert set(line.removeprefix("PARTS := ").split()) == set(PARTS)
