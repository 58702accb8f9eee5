"""tiny.yaml, to be rendered without its data."""

import json

import pytest

from tools.protocol.experiment import load
from tools.protocol.layout import split_of


@pytest.fixture
def tiny(checkout, tmp_path, monkeypatch):
    """tiny.yaml in a root of its own, as if its split were made: 100 classes and 5,000 validation images a half."""
    monkeypatch.chdir(tmp_path)

    def load_with(overrides: str = "", val: int = 5000):
        exp = load(checkout / "experiments" / "tiny.yaml", overrides)
        split = split_of(exp, 0)
        split.folder.mkdir(parents=True, exist_ok=True)
        half = {"train": 50000, "val": val}
        classes = [f"n{i:08}" for i in range(200)]
        split.marker.write_text(
            json.dumps({"classes": {"A": classes[:100], "B": classes[100:]}, "counts": {"A": half, "B": half}})
        )
        return exp

    return load_with
