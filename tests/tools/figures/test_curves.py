"""The figure learning_curves: tests and training losses of a set of runs, the source nets' by default."""

from pathlib import Path

import numpy as np
import pytest
from matplotlib.axes import Axes

from tests.helpers.figure_files import is_whole, rows
from tests.helpers.finished_runs import demo
from tools.figures import NoData, curves, style
from tools.protocol.experiment import Experiment
from tools.results.columns import Row, read_csv, run_key

pytestmark = pytest.mark.usefixtures("root")


@pytest.fixture
def exp() -> Experiment:
    return demo("sizes=[500,50] full_size=500")


@pytest.fixture
def points(tables) -> list[Row]:
    """The rows of curves.csv: of each run eleven tests and a hundred displays."""
    return read_csv(Path("made/curves.csv"))


def labels_of(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The labels of the lines that are drawn from now on."""
    labels: list[str] = []
    plot = Axes.plot
    monkeypatch.setattr(style, "save", lambda figure, path: None)  # a second each

    def noting(self: Axes, *values: object, **look: object) -> object:
        labels.extend([str(look["label"])] if "label" in look else [])
        return plot(self, *values, **look)

    monkeypatch.setattr(Axes, "plot", noting)
    return labels


def test_the_source_nets_are_the_full_size_base_runs_of_the_first_seed(exp: Experiment, tables) -> None:
    keys = [run_key(row) for row in curves.source_nets(exp, tables[0])]
    assert keys == ["B2A/n0500/base/seed0", "A2B/n0500/base/seed0"]
    failed = [row | {"status": "failed"} if row["direction"] == "A2B" else row for row in tables[0]]
    assert [run_key(row) for row in curves.source_nets(exp, failed)] == ["B2A/n0500/base/seed0"]


def test_the_numbers_are_those_of_curves_csv_run_by_run(exp: Experiment, tables, points: list[Row]) -> None:
    nets = [row | {"status": "ok"} for row in curves.source_nets(exp, tables[0])]
    curves.draw(exp, nets, points, Path())
    drawn = rows("learning_curves")
    assert list(dict.fromkeys(row["run"] for row in drawn)) == [run_key(row) for row in nets]
    expected = [point for row in nets for point in points if point["run"] == run_key(row)]
    assert [row["accuracy"] for row in drawn] == ["" if p["accuracy"] is None else str(p["accuracy"]) for p in expected]
    assert is_whole("learning_curves")


def test_a_label_has_what_tells_a_run_from_the_others(
    exp: Experiment, tables, points: list[Row], monkeypatch: pytest.MonkeyPatch
) -> None:
    labels = labels_of(monkeypatch)
    of = {run_key(row): row for row in tables[0]}
    curves.draw(exp, [of["A2B/n0500/base/seed0"], of["B2A/n0500/base/seed0"]], points, Path())
    curves.draw(exp, [of["A2B/n0500/base/seed0"], of["A2B/n0050/S3T/seed0"]], points, Path())
    curves.draw(exp, [of["A2B/n0050/S3T/seed0"]], points, Path())
    assert labels == ["half B", "half A", "base, n = 500", "S3T, n = 50", "half B"]


def test_many_displays_are_drawn_as_a_running_mean_and_the_line_of_facts_says_so(
    exp: Experiment, tables, monkeypatch: pytest.MonkeyPatch
) -> None:
    row = next(row for row in tables[0] if row["status"] == "ok")
    blank = {"run": run_key(row), "accuracy": None, "validation_loss": None}
    points = [blank | {"iteration": i, "training_loss": 1 + i % 2} for i in range(200)]
    points.append(
        {"run": run_key(row), "iteration": 200, "accuracy": 0.5, "validation_loss": 1.0, "training_loss": None}
    )
    heads: list[str] = []
    monkeypatch.setattr(style, "set_title", lambda axes, title, facts: heads.append(facts))
    drawn: list[np.ndarray] = []
    plot = Axes.plot
    monkeypatch.setattr(
        Axes, "plot", lambda self, x, y, **look: drawn.append(np.asarray(y)) or plot(self, x, y, **look)
    )
    curves.draw(exp, [row], points, Path())
    assert "training loss: running mean of 4 displays (pale: each)" in heads[0]
    assert len(drawn[-1]) == 200 - 4 + 1
    np.testing.assert_allclose(drawn[-1], 1.5)


def test_an_accuracy_of_outputs_that_are_not_numbers_is_not_drawn(
    exp: Experiment, tables, monkeypatch: pytest.MonkeyPatch
) -> None:
    row = tables[0][0] | {"status": "diverged"}
    tests = [(0, 0.5, 0.7), (100, 1.0, np.nan), (200, 1.0, np.inf)]
    points = [
        {"run": run_key(row), "iteration": at, "accuracy": accuracy, "validation_loss": loss, "training_loss": None}
        for at, accuracy, loss in tests
    ]
    drawn: list[list[float]] = []
    plot = Axes.plot
    monkeypatch.setattr(Axes, "plot", lambda self, x, y, **look: drawn.append(list(y)) or plot(self, x, y, **look))
    curves.draw(exp, [row], points, Path())
    np.testing.assert_equal(drawn[0], [0.5, np.nan, np.nan])
    assert [row["accuracy"] for row in rows("learning_curves")] == ["0.5", "1.0", "1.0"], (
        "the table has what the log says"
    )


def test_what_cannot_be_drawn_is_refused_with_the_reason(exp: Experiment, tables, points: list[Row]) -> None:
    some = tables[0]
    with pytest.raises(NoData, match="no source net has been trained yet"):
        curves.draw(exp, [], points, Path())
    with pytest.raises(NoData, match="13 runs in one figure; 12 at most can be told apart"):
        curves.draw(exp, some[:13], points, Path())
    with pytest.raises(NoData, match=r"curves\.csv has no test of A2B/n0500/base/seed0"):
        curves.draw(exp, some[:1], [], Path())
    with pytest.raises(NoData, match=r"models/.* failed"):
        curves.draw(exp, [some[0] | {"status": "failed"}], [], Path())


def test_the_order_of_a_legend_is_size_condition_direction_seed(tables) -> None:
    shuffled = list(np.random.default_rng(0).permutation(tables[0]))
    assert curves.in_legend_order(shuffled) == curves.in_legend_order(tables[0])
    first = curves.in_legend_order(shuffled)[:3]
    assert [run_key(row) for row in first] == ["A2B/n0500/base/seed0", "B2A/n0500/base/seed0", "A2B/n0500/FTall/seed0"]
