"""The figure accuracy: the mean of every size and condition of the thesis, and chance."""

from pathlib import Path

import pytest
from matplotlib.axes import Axes

from tests.helpers.figure_files import ALL_CONDITIONS, is_whole, rows
from tests.helpers.finished_runs import demo
from tools.common.files import write_json
from tools.figures import NoData, accuracy, style
from tools.protocol.experiment import Experiment
from tools.protocol.layout import split_of

pytestmark = pytest.mark.usefixtures("root")


@pytest.fixture
def exp() -> Experiment:
    return demo("sizes=[500,50] full_size=500")


def test_the_numbers_are_those_of_the_summary_without_controls(exp: Experiment, tables) -> None:
    accuracy.draw(exp, *tables, Path())
    shown = {(row["size"], row["condition"]): row for row in rows("accuracy")}
    assert list(dict.fromkeys(condition for _, condition in shown)) == ALL_CONDITIONS[:9]
    for row in tables[1]:
        if row["condition"] in ALL_CONDITIONS[:9]:
            drawn = shown[str(row["size"]), row["condition"]]
            assert [float(drawn[name]) for name in ("accuracy", "low", "high", "n")] == [
                row[name] for name in ("accuracy", "low", "high", "n")
            ]
    assert is_whole("accuracy")


@pytest.mark.parametrize(("classes", "label"), [(3, "chance: 0.333"), (50, "chance: 0.02, below")])
def test_chance_is_a_line_where_it_does_not_flatten_the_curves(
    exp: Experiment, tables, monkeypatch: pytest.MonkeyPatch, classes: int, label: str
) -> None:
    texts, lines = [], []
    annotate, axhline = Axes.annotate, Axes.axhline
    monkeypatch.setattr(
        Axes, "annotate", lambda self, text, *a, **k: texts.append(text) or annotate(self, text, *a, **k)
    )
    monkeypatch.setattr(Axes, "axhline", lambda self, y, **k: lines.append(y) or axhline(self, y, **k))
    monkeypatch.setattr(style, "save", lambda figure, path: None)
    write_json(split_of(exp, 0).marker, {"classes": {"A": ["x"] * classes}})
    accuracy.draw(exp, *tables, Path())
    assert label in texts
    assert lines == ([] if label.endswith("below") else [pytest.approx(1 / classes)])


def test_a_size_keeps_its_look_when_an_override_selects(
    exp: Experiment, tables, monkeypatch: pytest.MonkeyPatch
) -> None:
    looks: list[dict] = []
    size_look = style.size_look
    monkeypatch.setattr(style, "save", lambda figure, path: None)  # a second each
    monkeypatch.setattr(style, "size_look", lambda *given: looks.append(size_look(*given)) or looks[-1])
    accuracy.draw(exp, *tables, Path())
    accuracy.draw(demo("sizes=[50] full_size=500"), *tables, Path())
    assert looks[:2] == looks[2:]
    assert looks[0]["marker"] != looks[1]["marker"] and looks[0]["linestyle"] != looks[1]["linestyle"]
    dark, light = (0.299 * r + 0.587 * g + 0.114 * b for r, g, b, _ in (look["color"] for look in looks[:2]))
    assert light - dark > 0.15


def test_without_two_means_to_compare_there_is_no_figure(exp: Experiment, tables) -> None:
    runs, means = tables
    with pytest.raises(NoData, match="no run of base, FTall or SnT"):
        accuracy.draw(exp, runs, [row for row in means if row["condition"] not in ALL_CONDITIONS[:9]], Path())
    with pytest.raises(NoData, match="one size and one condition: nothing to compare"):
        accuracy.draw(exp, runs, means[:1], Path())
    assert not Path("accuracy.png").exists()
