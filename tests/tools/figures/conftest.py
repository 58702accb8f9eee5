"""Tables of two sizes, one seed and all conditions, from which figures are drawn."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.helpers.figure_files import ALL_CONDITIONS
from tests.helpers.result_tables import write_tables
from tools.figures.style import house_style
from tools.results.columns import read_csv


@pytest.fixture(autouse=True)
def in_house_style() -> Iterator[None]:
    """Figures are drawn as tools/plot.py draws them."""
    with house_style():
        yield


@pytest.fixture
def tables() -> tuple[list[dict], list[dict]]:
    """runs.csv and summary.csv of two sizes, one seed and all conditions, controls included."""
    write_tables(Path("made"), 1, ALL_CONDITIONS, [500, 50])
    return read_csv(Path("made/runs.csv")), read_csv(Path("made/summary.csv"))
