"""The CSV and the section of `make precision`, whose trainings `make test` does not run."""

from pathlib import Path

import pytest

from benchmarks import precision
from tests.helpers import engine_runs


def test_a_seed_that_the_csv_has_is_not_trained_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    trained = []

    def accuracies_of(exp: object, seed: int) -> dict[str, float]:
        trained.append(seed)
        return {"fp32": 0.9 + seed / 1000, "bf16": 0.9 + seed / 1000 + (-1) ** seed / 500}

    monkeypatch.setattr(precision, "accuracies_of", accuracies_of)
    monkeypatch.chdir(engine_runs.CHECKOUT)
    target = tmp_path / "parity-precision.csv"
    target.write_text("seed,fp32,bf16\n10,0.931,0.926\n")
    precision.main(target)
    assert trained == list(range(11, 30))
    assert target.read_text().splitlines()[1:3] == ["10,0.931,0.926", "11,0.911,0.909"]
    text = capsys.readouterr().out
    assert "| fp32 | 20 | 92.0" in text
    assert "bf16 - fp32, paired by seed: -0.0" in text
